"""The router's container: one HAProxy on this host for all its stacks."""

from __future__ import annotations

from typing import Any

from . import balancer, door, engine, router
from .failure import OperationFailed

CONTAINER = "slipway-proxy"
_NEXT, _BEFORE = f"{CONTAINER}-next", f"{CONTAINER}-before"


def network(stack: str) -> str:
    """Return the name of the network that a stack's releases, its accessories and the router share."""
    return f"slipway-{stack}"


def ensure(image: str, port: int) -> bool:
    """Make sure that the router runs and that `port`, and those of all stacks it knows, lead to it. Return whether it was made.

    Raises:
        OperationFailed: a port is taken, or it does not start.
    """
    with router.alone():
        settle()
        found = _inspect(CONTAINER)
        ports = sorted({port, *(s["port"] for s in router.all_wanted())})
        # One that publishes ports itself is of an earlier Slipway: the doors need them.
        if not found or found["HostConfig"]["PortBindings"]:
            _make(image, ports, found)
            return True
        _start(found)
        door.open_ports(image, ports)
        return False


def _inspect(name: str) -> Any:
    return engine.api("GET", f"/containers/{name}/json")


def _start(found: dict[str, Any]) -> None:
    for stack in router.all_wanted():  # a killed run may have made the router and not connected it yet
        connect(stack["stack"])
    if not found["State"]["Running"]:
        engine.api("POST", f"/containers/{CONTAINER}/start")
        balancer.await_answer()


def settle() -> None:
    """End what a killed run began: of the router and its successor, the one that serves stays."""
    engine.api("DELETE", f"/containers/{_NEXT}", force="true")
    if not _inspect(_BEFORE):
        return
    now = _inspect(CONTAINER)
    if now and now["State"]["Running"] and balancer.answers():
        engine.api("DELETE", f"/containers/{_BEFORE}", force="true")
        return
    _back()


def _back() -> None:
    engine.api("DELETE", f"/containers/{CONTAINER}", force="true")
    engine.api("POST", f"/containers/{_BEFORE}/rename", name=CONTAINER)
    engine.api("POST", f"/containers/{CONTAINER}/start")
    balancer.await_answer()


def _make(image: str, ports: list[int], before: dict[str, Any] | None) -> None:
    """Make the container beside the one there is, then let it take over; where it can't, that one goes on."""
    door.refuse_low(ports)
    router.write_config(router.all_wanted())
    balancer.create(_NEXT, image, "haproxy.cfg", "master.sock")
    for stack in router.all_wanted():
        connect(stack["stack"], _NEXT)
    with engine.CRITICAL:
        _take_over(before)
        door.open_ports(image, ports)


def _take_over(before: dict[str, Any] | None) -> None:
    if before:
        engine.api("POST", f"/containers/{CONTAINER}/rename", name=_BEFORE)
        if before["State"]["Running"]:
            engine.api("POST", f"/containers/{_BEFORE}/kill")
            engine.api("POST", f"/containers/{_BEFORE}/wait")
    engine.api("POST", f"/containers/{_NEXT}/rename", name=CONTAINER)
    try:
        engine.api("POST", f"/containers/{CONTAINER}/start")
        balancer.await_answer()
    except OperationFailed as error:
        failure = OperationFailed("the router did not start", f"{error.seen}\n{engine.logs(CONTAINER)}".strip())
        if before:
            _back()
        else:
            engine.api("DELETE", f"/containers/{CONTAINER}", force="true")
        raise failure from error
    engine.api("DELETE", f"/containers/{_BEFORE}", force="true")


def connect(stack: str, container: str = CONTAINER) -> None:
    """Make sure that a stack's network exists and that the router is on it."""
    name = network(stack)
    found = engine.api("GET", f"/networks/{name}")
    if not found:
        code, _, err = engine.command(["docker", "network", "create", "--label", f"slipway.stack={stack}", name])
        if code != 0:
            raise OperationFailed(f"network {name} could not be made", err)
        found = {"Containers": {}}
    if container not in {c["Name"] for c in found["Containers"].values()}:
        try:
            engine.api("POST", f"/networks/{name}/connect", {"Container": container})
        except OperationFailed as error:
            if "already exists" not in error.seen:
                raise
