"""What a client counted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.load.samples import Samples, percentile


@dataclass
class Report:
    """What a client counted.

    Args:
        document: as JSON: `started` (seconds since 1970) and `started_monotonic`; `seconds`; `requests`, `failed`, `reasons`
            (count by reason), `examples` (the first of each); `kinds`: for each kind of client `requests`, `failed` and latencies
            in ms (of streams: until the answer began; of uploads: after the last byte; of WebSockets: the slowest echo);
            `releases`: for each `answers` and `spans` ([first, last, how many] requests, by when they began); `timeline`: columns
            of 100 ms each, `p99_ms` of the quick kinds only. All times are seconds since the start.
        samples: every request (None: not kept).
    """

    document: dict[str, Any]
    samples: Samples | None = None

    @classmethod
    def read(cls, path: Path, samples: Path | None = None) -> Report:
        """Return the report that a client wrote."""
        document = json.loads(path.read_text())
        kept = Samples.load(samples, document["requests"], document["release_index"]) if samples else None
        return cls(document, kept)

    @property
    def requests(self) -> int:
        """How many requests ended."""
        return int(self.document.get("requests", 0))

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return int(self.document.get("failed", 0))

    @property
    def releases(self) -> list[str]:
        """The releases that answered, in the order of their first answers."""
        return [r for r in self.document["release_index"] if r]

    def at(self, monotonic: float) -> float:
        """Return a moment of this machine's monotonic clock as seconds since the client's start."""
        return monotonic - float(self.document["started_monotonic"])

    def last_of(self, release: str, after: float = 0.0) -> float | None:
        """Return when the last request began that this release answered, if that was after `after` (seconds since the start)."""
        spans = self.document["releases"].get(release, {"spans": []})["spans"]
        ends = [last for _, last, _ in spans if last >= after]
        return max(ends) if ends else None

    def p99(self, begin: float, end: float, *kinds: str) -> float:
        """Return the 99th percentile of the latency (seconds) of quick requests, or of these kinds, that began in that time."""
        assert self.samples, "samples were not kept"
        return percentile(self.samples.latencies(begin, end, kinds), 0.99)

    def first_of(self, release: str, after: float = 0.0) -> float | None:
        """Return when the first request began that this release answered, if that was after `after` (seconds since the start)."""
        spans = self.document["releases"].get(release, {"spans": []})["spans"]
        return min((first for first, _, _ in spans if first >= after), default=None)

    def failures(self, begin: float = 0.0, end: float = math.inf) -> int:
        """Return how many requests failed whose end fell into a stretch of time (seconds since the start)."""
        assert self.samples, "samples were not kept"
        c = self.samples.columns
        ends = (begun + took for begun, took, ok in zip(c["begun"], c["took"], c["ok"], strict=True) if not ok)
        return sum(begin <= at < end for at in ends)

    def text(self) -> str:
        """Return the report as people read it."""
        d = self.document
        rate = self.requests / d["seconds"] if d["seconds"] else 0
        lines = [f"{self.requests} requests in {d['seconds']:.1f} s ({rate:.0f}/s), {self.failed} failed"]
        for name, k in d["kinds"].items():
            times = f"p50 {k['p50_ms']:g} ms, p99 {k['p99_ms']:g} ms, max {k['max_ms']:g} ms"
            lines.append(f"  {name}: {k['requests']} requests, {k['failed']} failed; {times}")
        lines += [f"  release {r}: {v['answers']} answers" for r, v in d["releases"].items()]
        lines += [f"  failed: {reason}: {count}" for reason, count in d["reasons"].items()]
        lines += [f"    {e['kind']} at {e['at']} s, {e['reason']}: {e['detail']}" for e in d["examples"]]
        return "\n".join(lines)
