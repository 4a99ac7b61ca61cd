"""The router's container: one HAProxy on this host for all its stacks."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from . import engine, router
from .failure import OperationFailed

CONTAINER = "slipway-proxy"
_NEXT, _BEFORE = f"{CONTAINER}-next", f"{CONTAINER}-before"


def network(stack: str) -> str:
    """Return the name of the network that a stack's releases, its accessories and the router share."""
    return f"slipway-{stack}"


def ports() -> list[int]:
    """Return the ports that the router's container publishes; [] where there is none."""
    found = _inspect(CONTAINER)
    return sorted(int(p.split("/")[0]) for p in found["HostConfig"]["PortBindings"]) if found else []


def ensure(image: str, port: int, wanted: list[int], *, remake: bool) -> bool:
    """Make sure that the router runs and publishes `port`. Return whether its container had to be made (again).

    Args:
        image: HAProxy's.
        port: that of the stack in hand.
        wanted: the ports of all the environment's stacks: published as well where it is made.
        remake: make it again for any of them although it serves: its stacks are interrupted for about a second.

    Raises:
        OperationFailed: it publishes other ports and serves, a port is taken, or it does not start; then the old one serves again.
    """
    with router.alone():
        settle()
        found, published = _inspect(CONTAINER), ports()
        if found and {port, *(wanted if remake else ())} <= set(published):
            _start(found)
            return False
        if found and not remake and any(r["weight"] for r in router.sending()):
            seen = f"it publishes {', '.join(map(str, published))}, and serves other stacks"
            raise OperationFailed(f"the router does not publish port {port}", seen, bad_input=True)
        # No door is closed: another environment's stacks may be behind it.
        needed = sorted({port, *wanted, *published, *(s["port"] for s in router.all_wanted())})
        _refuse_taken(set(needed) - set(published))
        _make(image, needed, found)
        return True


def _inspect(name: str) -> Any:
    return engine.api("GET", f"/containers/{name}/json")


def _start(found: dict[str, Any]) -> None:
    for stack in router.all_wanted():  # a killed run may have made the router and not connected it yet
        connect(stack["stack"])
    if not found["State"]["Running"]:
        engine.api("POST", f"/containers/{CONTAINER}/start")
        _await()


def settle() -> None:
    """End what a killed run began: of the router and its successor, the one that serves stays."""
    engine.api("DELETE", f"/containers/{_NEXT}", force="true")
    if not _inspect(_BEFORE):
        return
    now = _inspect(CONTAINER)
    if now and now["State"]["Running"] and router.answers():
        engine.api("DELETE", f"/containers/{_BEFORE}", force="true")
        return
    _back()


def _back() -> None:
    engine.api("DELETE", f"/containers/{CONTAINER}", force="true")
    engine.api("POST", f"/containers/{_BEFORE}/rename", name=CONTAINER)
    engine.api("POST", f"/containers/{CONTAINER}/start")
    _await()


CRITICAL = threading.Lock()
"""Held while there is no router: whoever ends this process waits for it, a little."""


def _make(image: str, needed: list[int], before: dict[str, Any] | None) -> None:
    """Make the container beside the one there is, then let it take over; where it can't, that one goes on."""
    router.write_config(router.all_wanted())
    _create(image, needed)
    for stack in router.all_wanted():
        connect(stack["stack"], _NEXT)
    with CRITICAL:
        _take_over(before)


def _take_over(before: dict[str, Any] | None) -> None:
    if before:
        engine.api("POST", f"/containers/{CONTAINER}/rename", name=_BEFORE)
        if before["State"]["Running"]:
            engine.api("POST", f"/containers/{_BEFORE}/kill")
            engine.api("POST", f"/containers/{_BEFORE}/wait")
    engine.api("POST", f"/containers/{_NEXT}/rename", name=CONTAINER)
    try:
        engine.api("POST", f"/containers/{CONTAINER}/start")
        _await()
    except OperationFailed as error:
        failure = OperationFailed("the router did not start", f"{error.seen}\n{engine.logs(CONTAINER)}".strip())
        if before:
            _back()
        else:
            engine.api("DELETE", f"/containers/{CONTAINER}", force="true")
        raise failure from error
    engine.api("DELETE", f"/containers/{_BEFORE}", force="true")


def _create(image: str, needed: list[int]) -> None:
    argv = ["docker", "create", "--name", _NEXT, "--restart", "unless-stopped", "--read-only", "--cap-drop", "ALL"]
    argv += ["--security-opt", "no-new-privileges", "--label", "slipway.role=router", "--pull", "never"]
    argv += [word for p in needed for word in ("-p", f"{p}:{p}")]
    argv += ["-v", f"{router.CONF}:/usr/local/etc/haproxy:ro", "-v", f"{router.RUN}:/run/haproxy", image]
    argv += ["haproxy", "-S", "/run/haproxy/master.sock,mode,666", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
    code, _, err = engine.command(argv)
    if code != 0:
        raise OperationFailed("the router's container could not be made", err)


def _await() -> None:
    for _ in range(100):
        if router.answers():
            return
        time.sleep(0.05)
    raise OperationFailed("the router did not start", engine.logs(CONTAINER))


def _refuse_taken(added: set[int]) -> None:
    # Before the router is made again, which would close the doors that are open.
    taken = sorted(_listening() & added)
    if taken:
        names = ", ".join(map(str, taken))
        raise OperationFailed(
            f"port {names} of this host is taken by another program", "`ss -tlnp` on the host tells which"
        )


def _listening() -> set[int]:
    """Return the TCP ports that any program of this host listens on (proc(5): /proc/net/tcp, state 0A)."""
    tables = [Path("/proc/net") / name for name in ("tcp", "tcp6")]
    rows = [line.split() for path in tables if path.exists() for line in path.read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


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
