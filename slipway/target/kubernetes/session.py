"""What a run does on a cluster, operation by operation. The executor sees one host, the cluster; each operation can be repeated."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from slipway import report
from slipway.errors import SlipwayError
from slipway.plan.operation import Operation
from slipway.target.kubernetes import jobs, look, records, smoke
from slipway.target.kubernetes.applying import STARTER, applied
from slipway.target.kubernetes.changes import Changes
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import KINDS, SLICE, Manifest, in_order
from slipway.target.kubernetes.lease import Held
from slipway.target.kubernetes.manifests import RELEASE
from slipway.target.kubernetes.rollout import Watch
from slipway.target.kubernetes.transport import NotAllowed

Progress = Callable[[str], None]
Result = dict[str, Any]
_SWITCH_WITHIN = 30.0
_SHOWN = 20
"""Last lines of a job that are shown."""


@dataclass
class ClusterSession:
    """What the executor has operations done by.

    Args:
        cluster: where.
        namespace: the stack's.
        stack: its name.
        lease: ours; None where nothing is changed.
    """

    cluster: Cluster
    namespace: str
    stack: str
    lease: Held | None = None
    state: Future[dict[str, Any]] | None = field(default=None, repr=False, compare=False)
    """What the database says of its migrations, where it was asked ahead (see `slipway.target.kubernetes.database.ahead`)."""

    def perform(
        self,
        stack: str,  # noqa: ARG002 - the executor's protocol: a session is of one stack
        operations: Sequence[Operation],
        *,
        fence: int | None = None,  # noqa: ARG002 - the lease knows it
        progress: Progress = lambda _: None,
    ) -> list[Result]:
        """Do operations in order; return their results. Raises SlipwayError for the first that fails."""
        found = []
        for operation in operations:
            self.check()
            try:
                found.append(_DO[operation.kind](self, progress, **operation.params))
            except NotAllowed as error:  # a right or a login that ended meanwhile: something was touched
                raise SlipwayError(error.what, where=error.where, seen=error.seen, todo=error.todo) from error
        return found

    def close(self) -> None:
        """End the connection."""
        self.cluster.close()

    def check(self) -> None:
        """Raise Lost where this run may change nothing any more."""
        if self.lease:
            self.lease.check()

    def facts(self) -> Facts:
        """Look at the namespace."""
        return look.facts(self.cluster, self.namespace, self.stack)

    def receiving(self) -> dict[str, set[str] | None]:
        """Return which releases get requests; None where the cluster does not tell."""
        try:
            return {self.cluster.settings.context: self.facts().receiving()}
        except SlipwayError:
            return {self.cluster.settings.context: None}


def _apply(session: ClusterSession, progress: Progress, manifests: Sequence[Manifest]) -> Result:
    """Apply manifests: what others need comes first."""
    for manifest in in_order([m for m in manifests if m["kind"] != "Namespace"]):
        session.check()
        progress(f"{manifest['kind'].lower()} {manifest['metadata']['name']}")
        applied(session.cluster, manifest)
    return {"applied": len(manifests)}


def _rollout(
    session: ClusterSession, progress: Progress, manifests: Sequence[Manifest], release: str, within: Mapping[str, float],
    least: Mapping[str, int] | None = None,
) -> Result:  # fmt: skip
    """Apply Deployments, with what scales them, and wait until all their pods are new and ready."""
    _apply(session, progress, manifests)
    mine = [m for m in manifests if m["kind"] == "Deployment"]
    for manifest in mine:
        name = manifest["metadata"]["name"]
        if least and name in least:
            _scale(session, name, least[name])
    wanted = {
        m["metadata"]["name"]: (
            m["metadata"]["labels"]["slipway.service"],
            within.get(m["metadata"]["labels"]["slipway.service"], 60.0),
        )
        for m in mine
    }
    watch = Watch(session.cluster, session.namespace, progress, session.check)
    return {"ready_after": watch.deployments(wanted, release)}


def _scale(session: ClusterSession, name: str, least: int) -> None:
    """Begin with as many pods as are needed: what scales them by load would find out later."""
    path = KINDS["Deployment"].path(session.namespace, name)
    now = session.cluster.get(path)["spec"].get("replicas", 1)
    if now < least:
        session.cluster.request(
            "PATCH", f"{path}/scale", {"spec": {"replicas": least}}, what=f"scale of deployment {name}",
            kind="application/merge-patch+json", fieldManager=STARTER,
        )  # fmt: skip


def _accessories(session: ClusterSession, progress: Progress, manifests: Sequence[Manifest], digest: str) -> Result:
    """Apply the accessories, wait until they are ready, and note them."""
    _apply(session, progress, manifests)
    names = [m["metadata"]["name"] for m in manifests if m["kind"] == "StatefulSet"]
    Watch(session.cluster, session.namespace, progress, session.check).stateful(names)
    note(session, accessories={"digest": digest, "names": names})
    return {"names": names}


def _switch(session: ClusterSession, progress: Progress, manifests: Sequence[Manifest], release: str) -> Result:
    """Have Services send requests to a release, and wait until they send them to no other."""
    _apply(session, progress, manifests)
    services = {m["metadata"]["name"] for m in manifests if m["kind"] == "Service"}
    until = time.monotonic() + _SWITCH_WITHIN
    with Changes(session.cluster, session.namespace, (SLICE,)) as changes:
        while True:
            session.check()
            now = look.traffic(session.cluster, session.namespace).endpoints
            if all(set(now.get(s, {})) == {release} for s in services):
                return {"switched": sorted(services)}
            if time.monotonic() > until:
                raise SlipwayError("the Services do not send their requests to the release alone", seen=str(now))
            progress("waiting for the endpoints")
            changes.wait()


def _remove(session: ClusterSession, progress: Progress, objects: Sequence[Sequence[str]]) -> Result:
    """Remove objects by kind and name."""
    for kind, name in objects:
        session.check()
        progress(f"{kind.lower()} {name}")
        session.cluster.delete(KINDS[kind].path(session.namespace, name))
    return {"removed": [list(o) for o in objects]}


def _tidy(
    session: ClusterSession, progress: Progress, keep: Sequence[Sequence[str]], live: str, keep_releases: int
) -> Result:
    """Remove what no manifest has any more: ours alone, never an accessory or a volume; and what is recorded of old releases."""
    facts = session.facts()
    removed = []
    for kind, name in records.strays(facts, session.stack, keep, records.kept(facts, live, keep_releases)):
        session.check()
        progress(f"removing {kind.word} {name}")
        session.cluster.delete(kind.path(session.namespace, name))
        removed.append([kind.name, name])
    return {"removed": removed}


def _settle(session: ClusterSession, progress: Progress, release: str, seconds: float) -> Result:
    """Watch a release for a while: it must stay whole, and no container of it may end."""
    until, before = time.monotonic() + seconds, _restarts(session.facts(), release)
    while time.monotonic() < until:
        session.check()
        facts = session.facts()
        ended = _restarts(facts, release)
        if ended > before:
            raise SlipwayError(
                "containers ended while the release was watched", where=release, seen=f"{ended - before} restarts"
            )
        if not facts.is_whole(release):
            raise SlipwayError("the release did not stay whole", where=release, seen=str(facts.shares()))
        progress(f"{until - time.monotonic():.0f} s left")
        time.sleep(min(1.0, max(0.0, until - time.monotonic())))
    return {}


def _restarts(facts: Facts, release: str) -> int:
    mine = [p for p in facts.pods if p["metadata"].get("labels", {}).get(RELEASE) == release]
    return sum(c.get("restartCount", 0) for p in mine for c in p.get("status", {}).get("containerStatuses", []))


def _record(session: ClusterSession, _: Progress, meta: Mapping[str, Any], manifests: Sequence[Manifest]) -> Result:
    """Note a release."""
    session.cluster.apply(records.release_record(session.stack, session.namespace, meta, manifests), force=True)
    return {}


def _smoke(session: ClusterSession, progress: Progress, **params: Any) -> Result:
    return smoke.run(session.cluster, session.namespace, progress, **params)


def _migrate(session: ClusterSession, progress: Progress, **params: Any) -> Result:
    from slipway.target.kubernetes import runners

    return runners.run(session, progress, **params)


def _job(session: ClusterSession, progress: Progress, manifest: Manifest) -> Result:
    """Run a job of the stack to its end, and show what it said."""
    name = manifest["metadata"]["name"]
    said = jobs.run(session.cluster, manifest, progress, session.check, f"the job {name} failed").splitlines()
    for line in said[-_SHOWN:]:
        report.say(f"{name}: {line}")
    return {"lines": [line for line in said if line.strip()]}


def note(session: ClusterSession, **values: Any) -> None:
    """Change what is noted of the stack: `run`, `accessories`."""
    noted = look.noted(session.cluster, session.namespace, records.state_name(session.stack))
    session.cluster.apply(records.state_record(session.stack, session.namespace, {**noted.state, **values}), force=True)


def now() -> str:
    """Return the time, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_DO: dict[str, Callable[..., Result]] = {
    "apply": _apply,
    "rollout": _rollout,
    "accessories": _accessories,
    "switch": _switch,
    "remove": _remove,
    "tidy": _tidy,
    "settle": _settle,
    "record": _record,
    "smoke": _smoke,
    "migrate": _migrate,
    "job": _job,
}
"""Operations by kind."""
