"""What all clients of a benchmark of faults counted together, and the commands that ran meanwhile."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import load
from tests.support.checkout import Result
from tests.support.faults.arena import Arena

LASTING = ("answer", "upload", "sse", "ws")

LOAD = "keep-alive=4x0.02 new=20 answer=2 upload=2 sse=2x3 ws=2x3"
"""A million requests have to come together."""


@dataclass
class Tally:
    """Requests of all parts: how many there were, and failed; by kind of client. `until` ends all loops (monotonic seconds)."""

    until: float
    requests: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    excused: int = 0
    streams_cut: int = 0
    """How many of what lasts failed (3-second answers, uploads, streams, WebSockets), but for faults after which nothing serves."""
    reports: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, document: dict[str, Any], until: float) -> Tally:
        """Return a tally that counts on from what `document` (see there) says; {}: from nothing."""
        counters = {name: Counter(document.get(name, {})) for name in ("requests", "failed")}
        more = {name: document[name] for name in ("excused", "streams_cut", "reports") if name in document}
        return cls(until, **counters, **more)

    def document(self) -> dict[str, Any]:
        """Return this for a JSON file."""
        return {name: value for name, value in vars(self).items() if name != "until"}

    def over(self) -> bool:
        """Tell whether the time for the whole benchmark is over."""
        return time.monotonic() > self.until

    def add(self, report: load.Report, excused: int = 0) -> None:
        """Count a client's requests; `excused` failed while nothing served, by the nature of a fault."""
        for kind, told in report.document["kinds"].items():
            self.requests[kind] += told["requests"]
            self.failed[kind] += told["failed"]
        self.excused += excused
        if not excused:
            self.streams_cut += sum(
                told["failed"] for kind, told in report.document["kinds"].items() if kind in LASTING
            )
        if report.failed > excused:
            self.reports.append(report.text())

    @property
    def wrongly(self) -> int:
        """How many failed although something served."""
        return self.failed.total() - self.excused

    @contextmanager
    def clients(self, arena: Arena, profile: str = LOAD, *, near: bool = False) -> Iterator[Crowd]:
        """Run clients at each front door while the block runs, and count what they counted. `near`: see `Arena.client`."""
        with ExitStack() as stack:
            crowd = Crowd([stack.enter_context(arena.client(profile, host, near=near)) for host in arena.hosts])
            for client in crowd.members:
                client.wait(requests=20)
            yield crowd
        for client in crowd.members:
            self.add(client.report)


@dataclass
class Crowd:
    """The clients at all front doors."""

    members: list[load.Client]

    def counts(self) -> dict[str, Any]:
        """Return how many requests there were, how many failed, and why, over all of them."""
        told = [member.counts() for member in self.members]
        reasons = sum((Counter(t["reasons"]) for t in told), Counter[str]())
        return {**{k: sum(t[k] for t in told) for k in ("requests", "failed")}, "reasons": dict(reasons)}

    @property
    def report(self) -> load.Report:
        """What the client at the first door counted, once it has ended."""
        return self.members[0].report


@dataclass
class Followed:
    """A command, when each of its steps ended (monotonic seconds), and the most memory that it had (MB)."""

    result: Result
    began: float
    steps: list[tuple[str, float]]
    memory_mb: float
    family_mb: float


def follow(arena: Arena, *argv: str) -> Followed:
    """Run a verb on the arena's stack, and look at it while it runs."""
    began = time.monotonic()
    running = arena.start(*argv)
    sizes = {"own": 0.0, "family": 0.0}
    watch = threading.Thread(target=_watch, args=(running.process.pid, sizes), daemon=True)
    watch.start()
    lines, steps = [], []
    for line in running.process.stdout or ():
        lines.append(line)
        if line.startswith(("✓ ", "✗ ")):
            steps.append((line[2:].partition("  (")[0].partition(":")[0].strip(), time.monotonic()))
    ended = running.result()
    watch.join(2)
    result = Result(ended.argv, ended.code, "".join(lines) + ended.out, ended.err, ended.seconds)
    return Followed(result, began, steps, sizes["own"], sizes["family"])


def _watch(process: int, sizes: dict[str, float]) -> None:
    while (own := _resident(process)) is not None:
        sizes["own"] = max(sizes["own"], own)
        family = sum(_resident(child) or 0 for child in _children(process))
        sizes["family"] = max(sizes["family"], own + family)
        time.sleep(0.1)


def _resident(process: int) -> float | None:
    """Return the memory (MB) that a process has now; None where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), None)


def _children(process: int) -> Iterator[int]:
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found = [int(word) for word in tasks.read_text().split()]
        except OSError:
            continue
        for child in found:
            yield child
            yield from _children(child)
