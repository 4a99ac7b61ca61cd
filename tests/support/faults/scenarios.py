"""The faults: how each is made, and what a user may expect of it."""

from __future__ import annotations

import functools
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.checkout import Result
from tests.support.faults import outages
from tests.support.faults.arena import Arena
from tests.support.site import eventually, seconds_of

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Seen:
    """What a fault came to: how the deploy ended, when it began (monotonic clock), after how many seconds it was noticed."""

    done: Result
    at: float
    noticed: float
    more: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """A fault and its expected end.

    Args:
        name: in words.
        make: makes it while a deploy goes on.
        code: the deploy's exit code.
        says: words of its message; `|` stands between those of which one will do.
        within: seconds in which it is noticed: the deploy has ended by then.
        outage: seconds for which nothing serves, by the nature of the fault: requests may fail then, and only then.
        short: it is part of the short form, which has no need of what tests/lab/workshop/test_failures.py tests anyway.
    """

    name: str
    make: Callable[[Arena], Seen]
    code: int = 0
    says: tuple[str, ...] = ()
    within: float = math.inf
    outage: float = 0.0
    short: bool = False


def _deploys(arena: Arena, mode: str, step: str, **behaviour: object) -> Seen:
    name = arena.push(f"{mode}-{next(_numbers)}", mode, **behaviour)
    begun = time.monotonic()
    done = arena.deploy("--version", name)
    return Seen(done, begun, seconds_of(done, step))


def _in_the_gate(arena: Arena, fault: Callable[[Arena], object], mode: str = "slow", after: float = 3.0) -> Seen:
    """Make a fault while a deploy waits for a release that takes three seconds to start."""
    name = arena.push(f"{mode.replace(' ', '-')}-{next(_numbers)}", mode, after=after)
    before = set(arena.running())
    command = arena.start("deploy", "--version", name)
    eventually(lambda: set(arena.running()) - before, within=40, every=0.1)
    begun = time.monotonic()
    fault(arena)
    done = command.result(150)
    return Seen(done, begun, time.monotonic() - begun)


def _bad_later(arena: Arena) -> Seen:
    after = 12.0  # seconds after its start, some ten after the switch
    arena.checkout.write("envs/faults.yml", arena.checkout.read("envs/faults.yml") + "settle: 20s\n")
    seen = _in_the_gate(arena, lambda _: None, "sick later", after)
    return Seen(seen.done, seen.at + after, seen.noticed - after)


def _registry_dies(arena: Arena) -> Seen:
    name = arena.push(f"large-{next(_numbers)}", ballast=8)
    with outages.slow_registry(arena):
        command = arena.start("deploy", "--version", name)
        outages.await_pull(arena)
        begun = time.monotonic()
        with outages.dead_registry(arena):
            done = command.result(180)
        return Seen(done, begun, time.monotonic() - begun)


def _disk_full(folder: str, arena: Arena) -> Seen:
    name = arena.push(f"large-{next(_numbers)}", ballast=1)
    with outages.full_disk(arena, folder):
        begun = time.monotonic()
        done = arena.deploy("--version", name)
    return Seen(done, begun, done.seconds)


def _cut_off(arena: Arena) -> Seen:
    """The line is cut for longer than either side waits; the lease must fall all the same."""
    lease = "/var/lib/slipway/stacks/probe/lease"
    free = ("sh", "-c", f"flock --nonblock {lease} true && echo free")
    freed = 0.0

    def fault(_: Arena) -> None:
        nonlocal freed
        outages.cut(arena)
        begun = time.monotonic()
        eventually(lambda: arena.on(*free, check=False) == "free", within=32)
        freed = time.monotonic() - begun

    try:
        seen = _in_the_gate(arena, fault)
    finally:
        outages.heal(arena)
    return Seen(seen.done, seen.at, seen.noticed, {"lease free after": freed})


def _reboot(arena: Arena) -> Seen:
    live = arena.live()
    seen = _in_the_gate(arena, outages.reboot)
    eventually(lambda: answers(arena) == live, within=60)
    return Seen(seen.done, seen.at, seen.noticed, {"serves again after": time.monotonic() - seen.at})


def answers(arena: Arena) -> str:
    """Return the release that answers at the front door, "" where none does."""
    try:
        answer = arena.get()
    except OSError:
        return ""
    return answer.release or "" if answer.status == 200 else ""


def _clock(hours: int, arena: Arena) -> Seen:
    begun = time.monotonic()
    skew = {"PYTHONPATH": outages.SKEWED, "SKEW": str(hours * 3600)}
    done = arena.inv("deploy", "--version", arena.another(), **skew)
    return Seen(done, begun, done.seconds)


_GATE = "Start and wait for health (phase 1)"
_GONE = ("the connection to the host was lost|the Docker Engine does not answer",)
_FULL = ("o space left on device",)

SCENARIOS = (
    Scenario(
        "an image that crashes at start", lambda a: _deploys(a, "crash", _GATE), 1,
        ("web dies at start", "exit code 1", "model file is corrupt"), 3,
    ),
    Scenario(
        "never healthy", lambda a: _deploys(a, "sick", _GATE), 1,
        ("web was not healthy within 8 s", "the flux capacitor"), 10,
    ),
    Scenario("healthy, then bad 10 s after the switch", _bad_later, 4, ("web was not healthy", "rolled back"), 8),
    Scenario("slow to start", lambda a: _deploys(a, "slow", _GATE, after=4)),
    Scenario("registry dead in mid-pull", _registry_dies, 1, ("could not be pulled",), 60),
    Scenario("disk full under the engine", functools.partial(_disk_full, outages.PULLS), 1, _FULL, 15),
    Scenario("disk full under Slipway's files", functools.partial(_disk_full, outages.RELEASES), 1, _FULL, 15, short=True),
    Scenario("Docker daemon restarted", lambda a: _in_the_gate(a, outages.restart_engine), short=True),
    Scenario("HAProxy killed", lambda a: _in_the_gate(a, outages.kill_router), outage=4, short=True),
    Scenario("Postgres restarted", lambda a: _in_the_gate(a, outages.restart_database), short=True),
    Scenario(
        "host rebooted in mid-deploy", _reboot, 1, _GONE, 10, 40
    ),
    Scenario("connection cut for 8 s", lambda a: _in_the_gate(a, functools.partial(outages.cut_for, seconds=8))),
    Scenario("connection cut", _cut_off, 1, ("the connection to the host was lost",), 32),
    Scenario("the host's clock an hour behind", functools.partial(_clock, 1), short=True),
    Scenario("the host's clock an hour ahead", functools.partial(_clock, -1)),
)  # fmt: skip
