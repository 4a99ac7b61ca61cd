"""`restore` on a cluster: the agent in a pod loads, compares and swaps as on a host; here apps stop and start around it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway import report
from slipway.data import backup
from slipway.data.restore import Restored, Wanted, agree, beside, look
from slipway.data.restore_plan import LOAD, PUT, SAVE
from slipway.errors import BadInput, SlipwayError
from slipway.plan.executor import execute
from slipway.plan.operation import Operation, Plan
from slipway.target.conversation import HostError
from slipway.target.kubernetes import ending, records, schema, verify, workplace
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes.data import quiet, restore_plan, setup
from slipway.target.kubernetes.data import session as sessions
from slipway.target.kubernetes.data.session import PodSession
from slipway.target.kubernetes.data.setup import Setup
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.request import Release, Request
from slipway.target.kubernetes.session import ClusterSession
from slipway.target.kubernetes.workplace import Place, Run
from slipway.target.who import by

_QUIET: Mapping[str, Callable[..., dict[str, Any]]] = {
    "apps.stop": quiet.stop, "apps.start": quiet.start, "data.stop": quiet.stop, "data.start": quiet.start_data,
}  # fmt: skip


@dataclasses.dataclass
class Both:
    """What the executor has a restore's operations done by: `restore.*` by the agent in the pod, the others by the cluster."""

    cluster: ClusterSession
    pod: PodSession

    def perform(
        self,
        stack: str,
        operations: Sequence[Operation],
        *,
        fence: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """Do operations in order; return their results. Raises SlipwayError for the first that fails."""
        found: list[dict[str, Any]] = []
        for operation in operations:
            self.cluster.check()
            if operation.kind.startswith("restore."):
                found += self.pod.perform(stack, [operation], progress=progress)
            elif operation.kind in _QUIET:
                progress(operation.says)
                found.append(_QUIET[operation.kind](self.cluster, progress, **operation.params))
            else:
                found += self.cluster.perform(stack, [operation], fence=fence, progress=progress)
        return found

    def close(self) -> None:
        """End both."""
        self.pod.close()
        self.cluster.close()


def restore(env: str, stack: str | None, wanted: Wanted, *, plan_only: bool = False) -> Restored:
    """Restore a backup (see `slipway.data.restore.restore`)."""
    place = backup.keeping(workplace.find(env, stack))
    began = time.monotonic()
    with workplace.connected(place) as session:
        if not plan_only:
            _namespace(session, place)
        facts = session.facts()
        if facts.namespace is None:
            raise BadInput(
                f"there is no namespace {place.namespace} yet, in which a pod could look at the backups", where=place.context,
                todo=f"inv restore --env {env} makes it",
            )  # fmt: skip
        found = setup.of(place, facts)
        setup.ensure(session.cluster, found)
        there = dataclasses.replace(found, tools=[dataclasses.replace(t, claims={}) for t in found.tools])
        with sessions.on(session.cluster, there, "restore") as pod:
            chosen = look(place, pod, wanted)
            if wanted.into:
                return beside(place, pod, chosen, wanted, {})
            if plan_only:
                plan = _plan(place, facts, found, chosen, wanted)
                return Restored(env, place.stack.name, chosen["set"], plan=plan)
            agree(place, facts.live(), chosen, wanted)
            result = Restored(env, place.stack.name, chosen["set"])
            with workplace.begun(dataclasses.replace(place, cluster=None), "restore") as run:
                if any(t.claims for t in found.tools):
                    pod.close()
                    _in_another_pod(run, found, chosen, wanted, result)
                else:
                    _carry_out(run, pod, found, chosen, wanted, result)
    result.seconds = round(time.monotonic() - began, 2)
    return result


def _namespace(session: ClusterSession, place: Place) -> None:
    if session.cluster.find(f"/api/v1/namespaces/{place.namespace}") is None:
        report.current().touched = True
        session.cluster.apply(place.overlay.namespace)


def _in_another_pod(run: Run, found: Setup, chosen: Mapping[str, Any], wanted: Wanted, result: Restored) -> None:
    """Carry a restore out in a pod that has the volumes: they have to be there by then."""
    operation = _accessories(run.place, run.facts)
    if operation:
        with report.step("Start the accessories") as step:
            run.session.perform(run.place.stack.name, [operation], progress=step.say)
    with sessions.on(run.session.cluster, found, "restore", write=True) as pod:
        run.look()
        _carry_out(run, pod, found, chosen, wanted, result)


def _carry_out(
    run: Run, pod: PodSession, found: Setup, chosen: Mapping[str, Any], wanted: Wanted, result: Restored
) -> None:  # fmt: skip
    place, began = run.place, time.monotonic()
    plan = _plan(place, run.facts, found, chosen, wanted)
    entry: dict[str, Any] = {
        "verb": "restore", "by": by(), "run": run.fence, "set": chosen["set"]["id"], "outcome": "interrupted",
    }  # fmt: skip
    try:
        done = execute(plan, {place.context: Both(run.session, pod)}, run.fence, receiving=run.session.receiving)
        result.words = done[LOAD][place.context][0]["words"]
        result.done = done[PUT][place.context][0]["done"]
        if SAVE in done and (saved := done[SAVE][place.context][0]["set"]):
            result.safety = saved["id"]
        if plan.before:
            _prove(run, plan.before)
        entry["outcome"] = "done"
    except SlipwayError as error:
        told = backup.failure(place, error) if isinstance(error, HostError) else error
        entry |= {"outcome": f"failed: {told.what}", "exit_code": told.exit_code}
        raise told from error
    finally:
        entry |= {"seconds": round(time.monotonic() - began, 2), "safety": result.safety}
        try:
            pod.perform(place.stack.name, [Operation("restore.end", "let backups go on")])
            ending.add(run.session, entry)
        except SlipwayError as error:
            report.say(f"! the ledger was not written: {error.what}")


def _prove(run: Run, live: str) -> None:
    """Have the suite of deploys look at the release that serves again. Raises SlipwayError where it finds anything."""
    verifier = verify.Verifier("deploy")
    try:
        facts = run.look()
        meta = facts.releases[live]
        verifier.finish(
            {**verify.facts_of(run.place, run.session.cluster, live, meta), "pods": verify.pods_of(facts, live, meta)}
        )
    finally:
        verifier.close()


def _plan(place: Place, facts: Facts, found: Setup, chosen: Mapping[str, Any], wanted: Wanted) -> Plan:
    live, operation = facts.live(), None
    meta = facts.releases.get(live or "", {})
    kept = records.manifests_of(facts, live) if live else None
    if live and kept is not None:
        operation = schema.operation(place, Release(live, str(meta["version"]), meta["images"], kept, meta), facts)
    request = Request(
        cluster=place.context, facts=facts, values=place.values(meta.get("images", {})), overlay=place.overlay, beside=False,
        settle=0.0, migrate=operation, keep=place.env.keep_releases,
    )  # fmt: skip
    return restore_plan.plan(
        request, chosen, found.tools, wanted.only, _accessories(place, facts), by=by(), save=wanted.save
    )


def _accessories(place: Place, facts: Facts) -> Operation | None:
    """Return what starts accessories that are not there, or do not run: an empty environment, or one that broke."""
    values = place.values()
    made = making.accessory_manifests(place.overlay, values)
    wanted = [m["metadata"]["name"] for m in made if m["kind"] == "StatefulSet"]
    running = [s for s in facts.objects.get("StatefulSet", ()) if s.get("status", {}).get("readyReplicas")]
    if set(wanted) <= {s["metadata"]["name"] for s in running}:
        return None
    digest = making.accessory_digest(place.overlay, values)
    return Operation("accessories", "start the accessories", {"manifests": made, "digest": digest})


__all__ = ["restore"]
