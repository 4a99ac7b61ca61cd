"""How often a deploy waits for the host, one time after the other: its time through a relay that adds 100 ms, and without."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.stage import say
from tests.bench.table import Row
from tests.support.checkout import Result
from tests.support.faults.arena import Arena

_RELAY = Path(__file__).with_name("relay.py")
_PORT = 2299
_ADDED = 0.1


def of_a_deploy(arena: Arena, rounds: int, raw: dict[str, Any]) -> list[Row]:
    """Deploy in turns with and without the relay."""
    near, far = [], []
    for _ in range(rounds):
        arena.rest()
        near.append(_time(arena))
        arena.rest()
        with _relay(arena):
            far.append(_time(arena))
        say(f"without {near[-1]:.2f} s, with 100 ms more {far[-1]:.2f} s")
    raw.update(near=near, far=far)
    trips = (median(far) - median(near)) / _ADDED
    detail = f"{median(far):.2f} s through a relay that adds 100 ms, {median(near):.2f} s without; medians of {rounds}"
    return [Row("sequential round trips of a deploy, verification apart", round(trips, 1), "", 25, 15, detail)]


def _time(arena: Arena) -> float:
    done: Result = arena.deploy("--version", arena.another(), "--format", "json").ok()
    return done.seconds - sum(s["seconds"] for s in done.json()["steps"] if s["step"].startswith("Verify"))


@contextlib.contextmanager
def _relay(arena: Arena) -> Iterator[None]:
    """Send what comes for the host's sshd by way of a relay on the host itself, so that address and port stay what they are."""
    redirect = ("PREROUTING", "--protocol", "tcp", "--dport", "22", "--jump", "REDIRECT", "--to-port", str(_PORT))
    argv = ("python3", "-c", _RELAY.read_text(), str(_PORT), str(_ADDED / 2))
    arena.on("systemd-run", "--quiet", "--collect", "--unit", "bench-relay", *argv)
    arena.on("sh", "-c", f"until ss -Hltn 'sport = :{_PORT}' | grep -q .; do sleep 0.05; done")
    handle = arena.on(
        "nft", "--echo", "--handle", "insert", "rule", "inet", "slipway", "input", "tcp", "dport", str(_PORT), "accept"
    )
    arena.on("iptables", "--wait", "--table", "nat", "--insert", *redirect)
    try:
        yield
    finally:
        arena.on("iptables", "--wait", "--table", "nat", "--delete", *redirect)
        arena.on(
            "nft", "delete", "rule", "inet", "slipway", "input", "handle", handle.rsplit("# handle ", 1)[1].split()[0]
        )
        arena.on("systemctl", "stop", "bench-relay")
