"""The doors of this host: one HAProxy in the host's own network that takes connections and hands them to the router.

It listens on the stacks' ports itself, so that no published port is needed: the engine takes those away for a moment whenever it
is restarted, and new connections would be refused. It understands no HTTP; the router gets each connection over a Unix socket, with
the address of who asks in front (PROXY protocol).
"""

from __future__ import annotations

import csv
import re
import socket
from pathlib import Path
from typing import Any

from . import balancer, engine, haproxy
from .failure import OperationFailed
from .state import write

CONTAINER = "slipway-door"
_CONFIG = "door.cfg"


def ports() -> list[int]:
    """Return the ports that are open: those of the running process, or, where none runs, those that one will open."""
    try:
        rows = csv.DictReader(balancer.ask("show stat -1 1 -1", "door.sock").lstrip("# ").splitlines())
        names = {row["pxname"] for row in rows if row["svname"] == "FRONTEND"}
    except OperationFailed:
        path = balancer.CONF / _CONFIG
        names = set(re.findall(r"^frontend (\S+)", path.read_text(), re.M)) if path.exists() else set()
    return sorted(int(name.rpartition("-")[2]) for name in names)


def open_ports(image: str, wanted: list[int]) -> bool:
    """Make sure that these ports are open; those that are stay so. Return whether one was opened.

    Args:
        image: HAProxy's.
        wanted: the ports.

    Raises:
        OperationFailed: another program has one of them, or the doors do not start; those that were open are.
    """
    before, found = ports(), engine.api("GET", f"/containers/{CONTAINER}/json")
    added = set(wanted) - set(before)
    if found and found["State"]["Running"] and not added:
        return False
    # One that does not run will have to open them all.
    running = bool(found and found["State"]["Running"])
    _refuse_taken(added if running else {*before, *added})
    _write({*before, *added})
    try:
        if running:
            balancer.reload("HAProxy could not open the ports; those that were open are", "door-master.sock")
        else:
            _start(image, found)
    except OperationFailed:
        _write(set(before))
        raise
    return True


def _write(opened: set[int]) -> None:
    write(balancer.CONF / _CONFIG, haproxy.render_doors(sorted(opened), Path("/proc/net/if_inet6").exists()), 0o644)


def _start(image: str, found: dict[str, Any] | None) -> None:
    if not found:
        balancer.create(CONTAINER, image, _CONFIG, "door-master.sock", "--network", "host")
    try:
        engine.api("POST", f"/containers/{CONTAINER}/start")
        balancer.await_answer("door.sock")
    except OperationFailed as error:
        failure = OperationFailed("the doors did not open", f"{error.seen}\n{engine.logs(CONTAINER)}".strip())
        if not found:
            engine.api("DELETE", f"/containers/{CONTAINER}", force="true")
        raise failure from error


def refuse_low(wanted: list[int]) -> None:
    """Raise OperationFailed for ports that this host's kernel gives to root only."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if min(wanted, default=first) < first:
        seen = "net.ipv4.ip_unprivileged_port_start forbids it; `inv provision` sets that"
        raise OperationFailed(f"port {min(wanted)} of this host can't be opened", seen)


def _refuse_taken(added: set[int]) -> None:
    """Raise OperationFailed for ports that can't be listened on. HAProxy would close those that are open while it tries."""
    refuse_low(sorted(added))
    for port in sorted(added):
        try:
            with socket.socket() as attempt:
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                attempt.bind(("", port))
        except OSError as error:
            seen = "`ss -tlnp` on the host tells which"
            raise OperationFailed(f"port {port} of this host is taken by another program", seen) from error
