"""The operations of a run and of what a host keeps for all releases. Each can be done twice and stop anywhere."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from . import engine, facts, gate, proxy, reap, router, weight
from .context import Context, Result, operation
from .failure import OperationFailed
from .lease import Lease
from .logs.keep import logs_of_removed
from .state import HOME, StackHome, append_line, now, write, write_json, write_secrets


@operation("facts")
def _facts(context: Context, home: StackHome, challenge: str, secrets: list[str]) -> Result:
    found = facts.of(home, challenge, secrets)
    return {**found, "unfinished": context.unfinished} if context.run else found


@operation("host.about")
def _about(_: Context, home: StackHome) -> Result:
    return facts.about(home)


@operation("host.check")
def _check(_: Context, __: StackHome, disk_mb: int) -> Result:
    free = os.statvfs(HOME).f_bavail * os.statvfs(HOME).f_frsize / 1e6
    if free < disk_mb:
        raise OperationFailed(f"only {free:.0f} MB of disk are free, {disk_mb} MB are needed", str(HOME))
    return {"free_mb": int(free)}


@operation("lease.take")
def _take(context: Context, home: StackHome, holder: Result, above: int = 0, despite_freeze: bool = False) -> Result:
    return {"fence": context.take(Lease(home.stack), holder, above, despite_freeze)}


@operation("lease.freeze")
def _freeze(_: Context, home: StackHome, holder: Result | None) -> Result:
    return Lease(home.stack).freeze(holder)


@operation("run.begin")
def _begin(context: Context, home: StackHome, run: Result) -> Result:
    context.begin(home, run)
    return {}


@operation("run.end")
def _end(context: Context, home: StackHome, outcome: str) -> Result:
    context.end(home, outcome)
    # What is left to do is this host's own affair: old releases drain and stop after the deploy has returned.
    pyz = HOME / "agent" / "current.pyz"
    with reap.LOG.open("a") as log:
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(pyz), "reap"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return {}


@operation("stack.tidy")
def _tidy(_: Context, home: StackHome, keep: str) -> Result:
    """Remove what killed runs left: releases that never went live, containers of releases that are gone, jobs."""
    reap.note_what_lost_its_traffic(home)
    return {"removed": reap.remove_leftovers(home, keep)}


@operation("policy.write")
def _policy(_: Context, home: StackHome, policy: Result) -> Result:
    write_json(home.policy, policy)
    return {}


@operation("ledger.add")
def _ledger(_: Context, home: StackHome, entry: Result) -> Result:
    append_line(home.ledger, {"at": now(), **entry})
    return {}


@operation("volumes.ensure")
def _volumes(_: Context, home: StackHome, names: list[str]) -> Result:
    for name in names:
        engine.api("POST", "/volumes/create", {"Name": name, "Labels": {"slipway.stack": home.stack}})
    return {}


@operation("accessories.apply")
def _accessories(
    context: Context, home: StackHome, compose: str, digest: str, secrets: Result, services: list[Result]
) -> Result:
    folder = home.accessories
    write_secrets(folder / "secrets", secrets)
    write(folder / "compose.yaml", compose)
    project = f"{home.stack}-accessories"
    what = "the accessories did not start"
    look = functools.partial(engine.containers, slipway_stack=home.stack, slipway_role="accessory")
    with logs_of_removed(look()):
        argv = ["up", "-d", "--remove-orphans", "--pull", "never"]
        engine.compose_or_fail(what, project, folder / "compose.yaml", *argv)
    took = gate.await_healthy(look, services, context.progress)
    write_json(folder / "applied.json", {"digest": digest, "at": now()})
    return {"healthy_after": took}


@operation("router.ensure")
def _router(_: Context, home: StackHome, image: str, port: int) -> Result:
    made = proxy.ensure(image, port)
    proxy.connect(home.stack)
    return {"made": made}


@operation("router.apply")
def _apply(context: Context, home: StackHome, wanted: Result, release: str, activate: bool = False) -> Result:
    """Send requests as `wanted` says, and note which releases got or lost theirs.

    Noted before: a release that gets requests must never look like one that no one ever met, whenever this run is killed.
    """
    live = {r["id"] for r in wanted["releases"] if any(r["weights"].values())}
    run = context.fences.get(home.stack)
    for name in live & set(home.known()):
        meta = home.meta(name)
        if not meta.get("live_since") or meta.get("deactivated_at"):
            home.note(name, live_since=now(), deactivated_at=None)
        if activate and name == release and meta.get("activated_run") != run:
            home.note(name, activated_at=now(), activated_run=run)
    # A killed run may have started what goes live now, and never come to the gate.
    weight.usual([c for c in engine.containers(slipway_stack=home.stack) if engine.release_of(c) in live])
    try:
        return {"shares": router.apply(wanted)}
    finally:
        reap.note_what_lost_its_traffic(home)


@operation("router.receiving")
def _receiving(_: Context, home: StackHome) -> Result:
    return {"releases": sorted(router.sends_to(home.stack))}
