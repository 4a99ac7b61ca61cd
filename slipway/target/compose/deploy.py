"""`deploy` on hosts, as a story: settings, hosts, lease, images, plan, execution, proof."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway import report
from slipway.errors import LeaseHeld, SlipwayError
from slipway.host.verify import Suite, warmed
from slipway.image import build as images
from slipway.image import source
from slipway.image.registry import RegistryClient
from slipway.plan.executor import execute
from slipway.plan.operation import Operation, Plan
from slipway.settings import load
from slipway.target.compose import planner, workplace
from slipway.target.compose.accessories import missing_accessories
from slipway.target.compose.changes import unchanged
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import ROUTER_IMAGE, Release, Request, drain_limit, make_release, meta
from slipway.target.compose.workplace import Open, Workplace, by


@dataclass
class Outcome:
    """What a verb did, for people and programs."""

    verb: str
    env: str
    stack: str
    release: str
    before: str | None
    changed: bool
    url: str
    plan: Plan | None = None
    steps: list[tuple[str, float]] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the outcome as a JSON document."""
        steps = [{"step": title, "seconds": round(seconds, 2)} for title, seconds in self.steps]
        keys = ("verb", "env", "stack", "release", "before", "changed", "url", "images")
        return {**{k: getattr(self, k) for k in keys}, "steps": steps}


@dataclass(frozen=True)
class Version:
    """Which version is wanted.

    Args:
        name: as typed (None: the tree's own).
        build: build the tree under that name.
    """

    name: str | None = None
    build: bool = False


def deploy(place: Workplace, version: Version, *, plan_only: bool = False, cut: bool = False) -> Outcome:
    """Bring a version live, beside what serves, without losing a request.

    Args:
        place: the environment and stack.
        version: which.
        plan_only: make the plan and change nothing.
        cut: end open requests of old releases where too many drain.

    Returns:
        The outcome; `changed` is False where the live release is that version already.

    Raises:
        SlipwayError: see the exit codes in docs/deploy.md.
    """
    with workplace.opened(place, prepare=not plan_only) as hosts:
        if plan_only:
            return _planned(hosts, version, cut)
        with run(hosts, "deploy") as fence:
            release, request = release_of(hosts, version, cut)
            live = live_release(request.facts)
            if unchanged(request, release, named=bool(version.name)):
                return Outcome("deploy", place.env.name, place.stack.name, str(live), live, False, place.url)
            refuse_missing_accessories(request)
            serve_official_images(place)
            plan = planner.plan_deploy(request, release)
            return carry_out(hosts, plan, meta(request, release), fence)


def _planned(hosts: Open, version: Version, cut: bool) -> Outcome:
    place = hosts.place
    release, request = release_of(hosts, version, cut, dry=True)
    plan = planner.plan_deploy(request, release)
    changed = not unchanged(request, release, named=bool(version.name))
    return Outcome("deploy", place.env.name, place.stack.name, release.id, plan.before, changed, place.url, plan)


def release_of(hosts: Open, version: Version, cut: bool, dry: bool = False) -> tuple[Release, Request]:
    """Return the release that a version makes here, its images found or built and pushed, and the planner's request."""
    place = hosts.place
    name = version.name or source.tree_version(load.root(), place.env)
    assert place.env.registry  # noqa: S101 - validated
    client = RegistryClient(place.env.registry, place.registry_password)
    begun = time.monotonic()
    found = images.ensure(
        place.stack, client, name, build=version.build or version.name is None, rebuild=bool(version.build and version.name),
        password=place.registry_password, dry=dry, bases=bases(place),
    )  # fmt: skip
    if time.monotonic() - begun > 5:
        hosts = hosts.again()  # a build takes minutes: what was seen before it may not be so any more
    request = request_for(hosts, cut, own_tree=version.build or version.name is None)
    return make_release(request, name, {k: i.reference for k, i in found.items()}), request


def bases(place: Workplace) -> Callable[[list[str]], None] | None:
    """Return what sees that the engine has base images: a lab's stand-ins; None where the engine pulls them itself."""
    if not place.lab:
        return None
    from slipway.lab import images as lab_images

    return lab_images.ensure_all


def serve_official_images(place: Workplace) -> None:
    """See that a lab's registry has the official images that the stack's accessories and the router are; else nothing."""
    if place.lab:
        from slipway.lab import images as lab_images

        names = [ROUTER_IMAGE, *(str(s.image) for s in place.stack.services if s.image and not s.build)]
        lab_images.ensure_all(names)
        lab = place.lab
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: lab_images.publish(name, lab), names))


def request_for(hosts: Open, cut: bool = False, *, own_tree: bool = False) -> Request:
    """Return what a planner needs to know. `own_tree`: the version is what this checkout holds."""
    place = hosts.place
    migrate = place.stack.migrate
    migrations = source.migrations(Path(place.stack.folder) / migrate.path) if migrate and own_tree else ()
    return Request(
        env=place.env,
        entry=place.entry,
        stack=place.stack,
        facts=hosts.facts,
        secrets=place.secrets,
        challenge=hosts.challenge,
        auth=place.auth,
        by=by(),
        migrations=migrations,
        cut=cut,
    )


def refuse_missing_accessories(request: Request) -> None:
    """Raise BadInput where an accessory that the release depends on is not there."""
    from slipway.errors import BadInput

    missing = missing_accessories(request)
    if missing:
        env = request.env.name
        raise BadInput(
            f"the release needs {', '.join(missing)}, which {env} does not have yet",
            where=request.stack.name,
            serves=f"release {live_release(request.facts)}",
            todo=f"inv accessory.apply --env {env} --plan, then without --plan",
        )


@contextlib.contextmanager
def run(hosts: Open, verb: str) -> Iterator[int]:
    """Hold the lease of the stack while a verb runs; the hosts keep its journal. Yields the run's fencing number.

    Raises:
        LeaseHeld: somebody else has it, or froze deploys.
    """
    place = hosts.place
    command = " ".join(["inv", *sys.argv[1:]])
    holder = {"by": by(), "command": command, "machine": os.uname().nodename, "controller_pid": os.getpid()}
    first = hosts.sessions[place.env.hosts[0].name]
    got = first.perform(place.stack.name, [Operation("lease.take", "take the lease", {"holder": holder})])[0]
    if "fence" not in got:
        frozen = "frozen_by" in got
        what = "deploys are frozen" if frozen else "another run has the lease"
        todo = f"inv lock.release --env {place.env.name} ends the freeze" if frozen else "wait for it, or ask them"
        raise LeaseHeld(
            what, where=f"{place.stack.name} in {place.env.name}", seen=workplace.tell_lease(got), todo=todo
        )
    begin = Operation(
        "run.begin", "begin", {"run": {"verb": verb, "by": by(), "command": command, "fence": got["fence"]}}
    )
    for session in hosts.sessions.values():
        session.perform(place.stack.name, [begin], fence=got["fence"])
    report.current().touched = True
    outcome = "interrupted"
    try:
        yield got["fence"]
        outcome = "done"
    except SlipwayError as error:
        outcome = f"failed: {error.what}"
        raise
    finally:
        end = Operation("run.end", "end", {"outcome": outcome})
        for session in hosts.sessions.values():
            with contextlib.suppress(SlipwayError):  # it went away: its journal says so
                session.perform(place.stack.name, [end], fence=got["fence"])


def carry_out(hosts: Open, plan: Plan, meta: dict[str, Any], fence: int) -> Outcome:
    """Execute a plan that changes the live release, write the ledger, and return the outcome. Raises as `execute`."""
    place = hosts.place
    first_step = len(report.current().steps)

    begun = time.monotonic()
    entry: dict[str, Any] = {
        "verb": plan.verb,
        "release": plan.release,
        "before": plan.before,
        "by": by(),
        "images": meta["images"],
    }
    entry |= {"version": meta["version"], "host": os.uname().nodename}
    try:
        suite: Suite = "rollback" if plan.verb == "rollback" else "deploy"
        keys = place.access
        # Its imports and connections are made while the hosts work.
        with warmed(place.env, suite, key_file=keys.key_file, known_hosts=keys.known_hosts) as verifier:

            def verify(step: str) -> None:
                found = verifier.finish(verify_facts(place, plan.release, meta))
                workplace.refuse_findings(place, step, found)

            execute(plan, hosts.sessions, fence, verify)
        entry["outcome"] = "done"
    except SlipwayError as error:
        entry |= {"outcome": f"failed: {error.what}", "exit_code": error.exit_code}
        raise
    finally:
        steps = [(s.title, s.seconds) for s in report.current().steps[first_step:]]
        entry |= {"seconds": round(time.monotonic() - begun, 2), "steps": {t: round(s, 2) for t, s in steps}}
        _finish(hosts, plan, entry, fence)
    return Outcome(
        plan.verb, plan.env, plan.stack, plan.release, plan.before, True, place.url, plan, steps, meta["images"]
    )


def _finish(hosts: Open, plan: Plan, entry: dict[str, Any], fence: int) -> None:
    env = hosts.place.env
    drain = drain_limit(hosts.place.stack)
    policy = {"keep_warm": env.keep_warm, "keep_releases": env.keep_releases, "drain": drain}
    ops = [Operation("policy.write", "note the policy", {"policy": policy})]
    if entry.get("outcome") == "done":
        facts = {"verified": True, "failed": False}
        ops.insert(0, Operation("release.note", "mark as verified", {"release": plan.release, "facts": facts}))
    ops.append(Operation("ledger.add", "write the ledger", {"entry": entry}))
    for session in hosts.sessions.values():
        with contextlib.suppress(SlipwayError):  # a host that is gone cannot take notes; the error in hand says so
            session.perform(plan.stack, ops, fence=fence)


def proof(place: Workplace, release: str, meta: dict[str, Any], step: Suite) -> None:
    """Run a verification suite on the hosts. Raise SlipwayError where it fails."""
    from slipway.host import verify

    keys = place.access
    facts = verify_facts(place, release, meta)
    found = verify.verify(place.env, step, facts, key_file=keys.key_file, known_hosts=keys.known_hosts)
    workplace.refuse_findings(place, step, found)


def verify_facts(place: Workplace, release: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return what the suites of tests/verify/ compare the hosts with."""
    services = {}
    for name, gate in meta["services"].items():
        route = next((r for r in meta["router"]["routes"] if r["service"] == name), None)
        services[name] = {
            "role": gate["role"],
            "replicas": gate["replicas"],
            "image": meta["images"][name],
            "digest": meta["images"][name].partition("@")[2],
            "route": {"path": route["path"], "port": route["port"]} if route else None,
            "health": {"live": route["live"], "ready": gate["ready"]} if route and route["live"] else None,
        }
    first = place.env.hosts[0].name
    migrate = place.stack.migrate
    return {
        "env": place.env.name,
        "stack": place.stack.name,
        "release": release,
        "version": meta["version"],
        "port": meta["router"]["port"],
        "domain": meta["router"]["domain"],
        "services": services,
        "accessories": {s.name: {"image": s.image, "host": first} for s in place.stack.of_role("accessory")},
        "migrate": {"service": migrate.service, "pending": list(migrate.pending)} if migrate else None,
        "shares": {release: 100},
        "hosts": {h.name: {"address": h.address} for h in place.env.hosts},
    }
