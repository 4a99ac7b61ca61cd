"""Apps stop while data are put in place, and start again in the order of a deploy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .. import engine, gate, reap, router, start, weight
from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import StackHome

_SEEN_WITHIN = 30.0


@operation("apps.stop")
def _stop(context: Context, home: StackHome) -> Result:
    """Stop all apps of the stack on this host: old releases, then the live one's, what is deployed last first.

    Within a phase what takes no requests (a worker) ends before what does. Each has its grace period.
    """
    serving = router.sends_to(home.stack)
    for release in home.known():
        if release not in serving:
            reap.stop(home, release)
    stopped = []
    for container in sorted(_apps(home), key=lambda c: _rank(home, c)):
        context.progress(f"stopping {container['Name'].lstrip('/')}")
        context.stopped = True  # before it is: whoever is interrupted in between starts it again
        start.stop(container)
        stopped.append(container["Name"].lstrip("/"))
    return {"stopped": stopped}


@operation("apps.resume")
def _resume(context: Context, home: StackHome, release: str, groups: list[list[Result]]) -> Result:
    """Start the apps of a release again, group by group, where this run has stopped them."""
    if not context.stopped:
        return {}
    for services in groups:
        start.bring_up(home, release, services, recreate=False)
        gate.await_healthy(lambda: engine.of_release(home.stack, release), services, context.progress)
    weight.usual(engine.of_release(home.stack, release))
    _await_router(home, release, context.progress)
    return {}


@operation("apps.served")
def _served(context: Context, home: StackHome, release: str) -> Result:
    """Wait until the router has seen that the apps are back: it asks them every few seconds."""
    _await_router(home, release, context.progress)
    return {}


def _await_router(home: StackHome, release: str, progress: Callable[[str], None]) -> None:
    """Wait until the router sends requests to every routed service of a release. Raises OperationFailed.

    The containers may have other addresses now: what the router does is told to it once more, and it looks them up.
    """
    plan = router.wanted(home.stack)
    if plan:
        router.apply(plan)
    routed = {n for n, s in home.meta(release).get("services", {}).items() if s["role"] == "app" and s["routed"]}
    until = time.monotonic() + _SEEN_WITHIN
    while lacking := sorted(n for n in routed if not router.shares(home.stack).get(n, {}).get(release)):
        if time.monotonic() > until:
            raise OperationFailed(f"the router does not send requests to {', '.join(lacking)} again", release)
        progress(f"waiting for the router to see {', '.join(lacking)}")
        time.sleep(0.2)


def _apps(home: StackHome) -> list[dict[str, Any]]:
    found = engine.containers(slipway_stack=home.stack, slipway_role="app")
    return [c for c in found if c["State"]["Running"] or c["State"]["Restarting"]]


def _rank(home: StackHome, container: dict[str, Any]) -> tuple[int, bool, str]:
    labels = container["Config"]["Labels"]
    service = home.meta(labels.get("slipway.release", "")).get("services", {}).get(labels.get("slipway.service"), {})
    return -service.get("phase", 1), bool(service.get("routed")), container["Name"]
