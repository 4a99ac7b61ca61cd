"""A benchmark in pieces: what was found stays, a part goes on where it ended, and all pieces count together."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.pieces import Book
from tests.bench.table import Row
from tests.bench.tally import Tally
from tests.support.load import Report


def report(requests: int, failed: int = 0) -> Report:
    counted = {"requests": requests, "failed": failed, "p50_ms": 1.0, "p99_ms": 1.0, "max_ms": 1.0}
    return Report({"requests": requests, "failed": failed, "seconds": 1.0, "kinds": {"sse": counted},
                   "releases": {}, "reasons": {}, "examples": []})  # fmt: skip


def measure(path: Path, name: str, requests: int, *, failed: int = 0, anew: bool = False) -> Tally:
    book = Book(path)
    piece, tally = book.begin(name, anew=anew, until=time.monotonic() + 60)
    piece.raw.setdefault("done", []).append(requests)
    tally.add(report(requests, failed))
    book.keep(piece, [Row("done", len(piece.raw["done"]))], tally, time.monotonic())
    return book.counted()


def test_pieces_count_together(tmp_path: Path) -> None:
    path = tmp_path / "pieces.json"
    measure(path, "kills", 100)
    measure(path, "faults", 10)
    counted = measure(path, "kills", 50, failed=2)
    assert (counted.requests.total(), counted.wrongly, counted.streams_cut) == (160, 2, 2)
    assert len(counted.reports) == 1
    (kills,) = Book(path).ordered(["kills"])
    assert (kills.raw["done"], kills.rows[0]["measured"]) == ([100, 50], 2)
    assert not Book(path).begin("kills", anew=False, until=0)[1].requests["answer"]


def test_a_part_that_is_measured_anew_forgets(tmp_path: Path) -> None:
    path = tmp_path / "pieces.json"
    measure(path, "kills", 100, failed=1)
    counted = measure(path, "kills", 50, anew=True)
    assert (counted.requests.total(), counted.wrongly) == (50, 0)
    assert Book(path).pieces["kills"].raw["done"] == [50]
