"""Every request of a run, 20 bytes each, and what becomes of them: counts, percentiles, a timeline."""

from __future__ import annotations

import math
import time
from array import array
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, BinaryIO

from tests.support.load.profile import KINDS, LASTING

EVERY = 0.1
"""Seconds of one step of the timeline."""
_EXAMPLES = 3  # of each reason
_GAP = 1.0  # seconds without a request that end a span
_COLUMNS = ("begun", "d"), ("took", "f"), ("kind", "B"), ("release", "H"), ("ok", "B"), ("late", "f")
_NAMES = tuple(KINDS)


class Samples:
    """When each request began (seconds since the run's start), how long it took, who answered, how late the client itself was."""

    def __init__(self) -> None:
        self.started, self.clock = time.monotonic(), time.time()
        self.columns: dict[str, array[Any]] = {name: array(code) for name, code in _COLUMNS}
        self.releases: list[str] = [""]
        self.answers: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.examples: list[dict[str, Any]] = []

    def answered(self, kind: str, begun: float, took: float, release: str, late: float = 0.0) -> None:
        """Record a request that was answered as it should be (`begun` on the monotonic clock, `took` in seconds).

        `late`: seconds of `took` that passed before the client came to send it.
        """
        if release not in self.answers:
            self.releases.append(release)
        self.answers[release] += 1
        self._add(kind, begun, took, self.releases.index(release), 1, late)

    def failed(self, kind: str, begun: float, took: float, reason: str, detail: str) -> None:
        """Record a request that failed."""
        if self.failures[reason] < _EXAMPLES:
            example = {"at": round(begun - self.started, 3), "kind": kind, "reason": reason, "detail": detail}
            self.examples.append({**example, "after_s": round(took, 3)})
        self.failures[reason] += 1
        self._add(kind, begun, took, 0, 0)

    def _add(self, kind: str, begun: float, took: float, release: int, ok: int, late: float = 0.0) -> None:
        row = (begun - self.started, took, _NAMES.index(kind), release, ok, late)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)

    def save(self, path: Path) -> None:
        """Write the columns, one after the other."""
        with path.open("wb") as file:
            for column in self.columns.values():
                column.tofile(file)

    @classmethod
    def load(cls, path: Path, count: int, releases: list[str]) -> Samples:
        """Return what `save` wrote: `count` requests."""
        samples = cls()
        samples.releases = releases
        with path.open("rb") as file:
            samples._read(file, count)
        return samples

    def _read(self, file: BinaryIO, count: int) -> None:
        for column in self.columns.values():
            column.fromfile(file, count)

    def latencies(self, begin: float, end: float, kinds: tuple[str, ...] = ()) -> list[float]:
        """Return the sorted latencies (seconds) of requests answered that began in a stretch of time."""
        c = self.columns
        wanted = {_NAMES.index(k) for k in kinds or _NAMES if kinds or k not in LASTING}
        rows = zip(c["begun"], c["took"], c["kind"], c["ok"], strict=True)
        return sorted(took for begun, took, kind, ok in rows if ok and begin <= begun < end and kind in wanted)

    def lateness(self, begin: float, end: float) -> list[float]:
        """Return, sorted, how late (seconds) the client itself was with requests that were due in a stretch of time."""
        c = self.columns
        return sorted(late for begun, late in zip(c["begun"], c["late"], strict=True) if begin <= begun < end)

    def summary(self) -> dict[str, Any]:
        """Return the run as a JSON document (see `Report`)."""
        c = self.columns
        kinds: dict[str, dict[str, Any]] = {}
        for number, name in enumerate(_NAMES):
            mine = [i for i, k in enumerate(c["kind"]) if k == number]
            if mine:
                times = sorted(c["took"][i] for i in mine if c["ok"][i])
                kinds[name] = {"requests": len(mine), "failed": sum(not c["ok"][i] for i in mine), **percentiles(times)}
        return {
            "started": round(self.clock, 3),
            "started_monotonic": self.started,
            "seconds": round(time.monotonic() - self.started, 3),
            "requests": len(c["ok"]),
            "failed": len(c["ok"]) - sum(c["ok"]),
            "reasons": dict(self.failures),
            "examples": self.examples,
            "kinds": kinds,
            "releases": {r: {"answers": self.answers[r], "spans": self._spans(i)} for i, r in self._known()},
            "release_index": self.releases,
            "timeline": self._timeline(),
        }

    def _known(self) -> list[tuple[int, str]]:
        return [(i, r) for i, r in enumerate(self.releases) if r]

    def _spans(self, release: int) -> list[list[float]]:
        """Return when requests began that this release answered: [first, last, how many], a new span after a second without one."""
        c = self.columns
        socket = _NAMES.index("ws")
        rows = zip(c["begun"], c["release"], c["kind"], strict=True)
        spans: list[list[float]] = []
        for begun in sorted(b for b, r, k in rows if r == release and k != socket):
            if spans and begun - spans[-1][1] < _GAP:
                spans[-1][1:] = [round(begun, 4), spans[-1][2] + 1]
            else:
                spans.append([round(begun, 4), round(begun, 4), 1])
        return spans

    def _timeline(self) -> dict[str, Any]:
        c = self.columns
        size = math.floor(max(c["begun"], default=0.0) / EVERY) + 1
        requests, errors = [0] * size, [0] * size
        quick: list[list[float]] = [[] for _ in range(size)]
        shares: dict[int, list[int]] = defaultdict(lambda: [0] * size)
        lasting = {_NAMES.index(k) for k in LASTING}
        for begun, took, kind, release, ok, _ in zip(*c.values(), strict=True):
            at = max(0, int(begun / EVERY))
            requests[at] += 1
            if ok:
                shares[release][at] += 1
                if kind not in lasting:
                    quick[at].append(took)
            else:
                errors[at] += 1
        p99 = [round(percentile(sorted(q), 0.99) * 1000, 2) if q else None for q in quick]
        by_release = {self.releases[i]: counts for i, counts in shares.items()}
        return {"every": EVERY, "requests": requests, "errors": errors, "p99_ms": p99, "answers": by_release}


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that `share` of the ordered values do not exceed (0 where there are none)."""
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def percentiles(ordered: list[float]) -> dict[str, float]:
    """Return the usual ones, in milliseconds."""
    marks = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
    return {name: round(percentile(ordered, share) * 1000, 2) for name, share in marks.items()}
