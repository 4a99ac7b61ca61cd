"""Starting and ending the services of a release: Compose makes their containers, the engine's API starts and ends them."""

from __future__ import annotations

import time
from typing import Any

from . import beside, engine, weight
from .failure import OperationFailed
from .logs.keep import logs_of_removed
from .state import StackHome, now

_ENDING = 3700  # seconds: longer than any grace period may be
_GRACE = 10
"""Seconds: the engine's own grace period, for a container that names none."""


def bring_up(home: StackHome, release: str, services: list[dict[str, Any]], *, recreate: bool) -> None:
    """Start services of a release, with little of the processor; those that run are left alone. Does not wait for health.

    Args:
        home: the stack's folder.
        release: the release.
        services: `name` and `replicas` of each.
        recreate: make the containers anew (their secrets changed).

    Raises:
        OperationFailed: Compose, or the engine, can't start one.
    """
    _await_end(home, release, {s["name"] for s in services})
    found = engine.of_release(home.stack, release)
    if recreate or any(len(_of(found, [s["name"]])) != s["replicas"] for s in services):
        _make(home, release, services, recreate)
        found = engine.of_release(home.stack, release)
        _number(home, release, services, found)
    waiting = [c for c in _of(found, [s["name"] for s in services]) if not c["State"]["Running"]]
    beside.each(_start, waiting, 4)


def _of(containers: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
    return [c for c in containers if c["Config"]["Labels"].get("slipway.service") in names]


def _make(home: StackHome, release: str, services: list[dict[str, Any]], recreate: bool) -> None:
    names = [s["name"] for s in services]
    what = f"{', '.join(names)} could not be started"
    # All services of the release, not only these: a second call of Compose takes longer than making all containers.
    every = names if recreate else [n for n, s in home.meta(release)["services"].items() if s["role"] == "app"]
    # What runs stays, were Compose upgraded meanwhile and of another mind about it.
    made = "--force-recreate" if recreate else "--no-recreate"
    argv = ["up", "--no-start", "--no-deps", "--pull", "never", made, *every]
    with logs_of_removed(engine.of_release(home.stack, release) if recreate else []):
        engine.compose_or_fail(what, f"{home.stack}-{release}", home.release(release) / "compose.yaml", *argv)


def _number(home: StackHome, release: str, services: list[dict[str, Any]], containers: list[dict[str, Any]]) -> None:
    """Give containers the names that the router knows.

    Compose counts on where one of several containers was removed: 2 and 3 instead of 1 and 2.
    """
    for service in services:
        names = {c["Name"].lstrip("/") for c in _of(containers, [service["name"]])}
        wanted = {f"{home.stack}-{release}-{service['name']}-{n}" for n in range(1, service["replicas"] + 1)}
        # Without `strict`, which Python 3.9 does not know.
        for odd, free in zip(sorted(names - wanted), sorted(wanted - names)):  # noqa: B905
            engine.api("POST", f"/containers/{odd}/rename", name=free)


def _start(container: dict[str, Any]) -> None:
    weight.lower(container)
    try:
        engine.api("POST", f"/containers/{container['Id']}/start")
    except OperationFailed as error:
        service = container["Config"]["Labels"]["slipway.service"]
        raise OperationFailed(f"{service} could not be started", error.seen, service=service) from error


def _await_end(home: StackHome, release: str, names: set[str]) -> None:
    """Wait for containers that were told to end (by a deploy, or by the timer), so that they can be started again."""
    meta = home.meta(release)
    ending = meta.get("ending") or {}
    if not names & set(ending) and not meta.get("stopped_at"):
        return
    for container in engine.of_release(home.stack, release):
        service = container["Config"]["Labels"]["slipway.service"]
        if meta.get("stopped_at") or service in names & set(ending):
            stop(container)
    home.note(release, stopped_at=None, ending={n: at for n, at in ending.items() if n not in names})


def stop(container: dict[str, Any], within: int | None = None) -> None:
    """Stop a container and wait for its end: SIGTERM, its grace period (or `within` seconds), then SIGKILL."""
    if container["State"]["Running"] or container["State"]["Restarting"]:
        query = {} if within is None else {"t": str(within)}
        engine.api("POST", f"/containers/{container['Id']}/stop", timeout=_ENDING, **query)


def tell_to_end(home: StackHome, release: str, names: list[str] | None = None) -> list[str]:
    """Send services of a release (default: all) their stop signal; they finish what they have in hand.

    Return the containers' names.
    """
    told = []
    before = home.meta(release).get("ending") or {}
    running = [c for c in engine.of_release(home.stack, release) if c["State"]["Running"] or c["State"]["Restarting"]]
    due = [c for c in running if (names is None or _service(c) in names) and _service(c) not in before]
    if due:
        home.note(release, ending={**{_service(c): now() for c in due}, **before})
    for container in due:  # once: a second SIGTERM means "at once" to many programs
        signal = container["Config"].get("StopSignal") or "SIGTERM"
        engine.api("POST", f"/containers/{container['Id']}/kill", signal=signal)
        told.append(container["Name"].lstrip("/"))
    return told


def _service(container: dict[str, Any]) -> str:
    return str(container["Config"]["Labels"].get("slipway.service", ""))


def end_overdue(home: StackHome, release: str) -> None:
    """Kill what was told to end and is still there after its grace period."""
    ending = home.meta(release).get("ending") or {}
    for container in engine.of_release(home.stack, release) if ending else []:
        at = ending.get(container["Config"]["Labels"]["slipway.service"])
        grace = container["Config"].get("StopTimeout") or _GRACE
        if at and container["State"]["Running"] and time.time() - engine.moment(at) > grace:
            engine.api("POST", f"/containers/{container['Id']}/kill")
