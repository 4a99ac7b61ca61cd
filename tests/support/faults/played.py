"""A scenario, played on an arena while clients ask: what became of it, against what may be expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support import load
from tests.support.faults.arena import LOAD, Arena
from tests.support.faults.census import left_over
from tests.support.faults.scenarios import Scenario, Seen


@dataclass
class Played:
    """What a fault came to.

    Args:
        name: the fault.
        code: the deploy's exit code; `expected`: the one that was expected.
        noticed: seconds from the fault to the deploy's end.
        requests: how many the clients made; `failed`: how many of them failed, and `unexcused`: while something served.
        said: what the deploy said.
        problems: in words; empty where all is as it should be.
        more: further numbers.
    """

    name: str
    code: int
    expected: int
    noticed: float
    requests: int
    failed: int
    unexcused: int
    said: str
    problems: list[str] = field(default_factory=list)
    more: dict[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return this for a JSON file."""
        return {**vars(self), "noticed": round(self.noticed, 2)}


def play(
    arena: Arena, scenario: Scenario, count: Callable[[load.Report, int], None] = lambda *_: None, profile: str = LOAD
) -> Played:
    """Make the fault, then look: at the message, the requests, what serves, what is left, and whether the next deploy works.

    Args:
        arena: where.
        scenario: what.
        count: is told of the clients' report, and how many failures in it are the nature of the fault.
        profile: the clients.
    """
    before, live = arena.rest(), arena.live()
    with arena.checkout.changed(), arena.client(profile) as client:
        client.wait(requests=20)
        seen = scenario.make(arena)
        healthy = arena.status() if scenario.code else {"healthy": True}
        serves = arena.live()
    report = client.report
    excused = report.failures(report.at(seen.at), report.at(seen.at) + scenario.outage)
    count(report, excused)
    played = Played(
        scenario.name, seen.done.code, scenario.code, seen.noticed, report.requests, report.failed,
        report.failed - excused, seen.done.text, more=seen.more,
    )  # fmt: skip
    played.problems += _wrong(scenario, seen, report, played)
    if scenario.code and serves != live:
        played.problems.append(f"{serves} serves, not {live}")
    if not healthy["healthy"]:
        played.problems.append(f"status: {healthy['problems']}")
    if played.code:  # one that came to pass all the same is that deploy itself
        again = arena.deploy("--version", arena.another())
        if again.code != 0:
            played.problems.append(f"the next deploy exited {again.code}: {again.text}")
    played.problems += left_over(before, arena.rest())
    return played


def _wrong(scenario: Scenario, seen: Seen, report: load.Report, played: Played) -> list[str]:
    found = []
    if seen.done.code != scenario.code or "Traceback" in seen.done.err:
        found.append(f"exit code {seen.done.code}, not {scenario.code}: {seen.done.text}")
    for words in scenario.says:
        if not any(word in seen.done.err for word in words.split("|")):
            found.append(f"it does not say {words!r}: {seen.done.err}")
    if scenario.code == 1 and "Still serving: release" not in seen.done.err:
        found.append(f"it does not say what serves: {seen.done.err}")
    if seen.noticed > scenario.within:
        found.append(f"noticed after {seen.noticed:.1f} s, not within {scenario.within:g} s")
    if played.unexcused:
        found.append(f"{played.unexcused} requests failed: {report.text()}")
    return found
