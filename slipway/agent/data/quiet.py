"""Apps stop while data are put in place, and start again in the order of a deploy."""

from __future__ import annotations

from typing import Any

from .. import engine, gate, reap, router, start
from ..context import Context, Result, operation
from ..state import StackHome


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
        start.stop(container)
        stopped.append(container["Name"].lstrip("/"))
        context.stopped = True
    return {"stopped": stopped}


@operation("apps.resume")
def _resume(context: Context, home: StackHome, release: str, groups: list[list[Result]]) -> Result:
    """Start the apps of a release again, group by group, where this run has stopped them."""
    if not context.stopped:
        return {}
    for services in groups:
        start.bring_up(home, release, services, recreate=False)
        gate.await_healthy(lambda: engine.of_release(home.stack, release), services, context.progress)
    return {}


def _apps(home: StackHome) -> list[dict[str, Any]]:
    found = engine.containers(slipway_stack=home.stack, slipway_role="app")
    return [c for c in found if c["State"]["Running"] or c["State"]["Restarting"]]


def _rank(home: StackHome, container: dict[str, Any]) -> tuple[int, bool, str]:
    labels = container["Config"]["Labels"]
    service = home.meta(labels.get("slipway.release", "")).get("services", {}).get(labels.get("slipway.service"), {})
    return -service.get("phase", 1), bool(service.get("routed")), container["Name"]
