"""A long benchmark in pieces: what each part has found is kept in a file, and a later run goes on from there."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import table
from tests.bench.table import Row
from tests.bench.tally import Tally


@dataclass
class Piece:
    """What is known of one part.

    Args:
        name: the part.
        raw: every single number; a part that was not whole goes on from what it finds here.
        rows: of the table.
        counted: what its clients counted (`Tally.document`).
        seconds: how long it took, all its pieces together.
        revisions: the tree's revisions that it was measured with.
        whole: nothing of it is missing.
    """

    name: str
    raw: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    counted: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    revisions: list[str] = field(default_factory=list)
    whole: bool = False


class Book:
    """The pieces, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        known = json.loads(path.read_text()) if path.exists() else {}
        self.pieces = {name: Piece(**value) for name, value in known.items()}

    def begin(self, name: str, *, anew: bool, until: float) -> tuple[Piece, Tally]:
        """Return a part's piece, and a tally that counts on from it; `anew`: forget what is known of it."""
        if anew:
            self.pieces.pop(name, None)
        piece = self.pieces.setdefault(name, Piece(name))
        return piece, Tally.read(piece.counted, until)

    def keep(self, piece: Piece, rows: Iterable[Row], tally: Tally, began: float) -> None:
        """Keep what a part has found since `began` (monotonic seconds)."""
        piece.rows, piece.counted = [asdict(row) for row in rows], tally.document()
        piece.seconds = round(piece.seconds + time.monotonic() - began, 1)
        piece.revisions = sorted({*piece.revisions, table.revision()})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps({name: vars(p) for name, p in self.pieces.items()}, indent=1) + "\n")

    def ordered(self, names: Iterable[str]) -> list[Piece]:
        """Return the pieces there are, in the order of `names`."""
        return [self.pieces[name] for name in names if name in self.pieces]

    def counted(self) -> Tally:
        """Return what all pieces counted together."""
        together = Tally(0.0)
        for piece in self.pieces.values():
            one = Tally.read(piece.counted, 0.0)
            together.requests += one.requests
            together.failed += Counter({k: n for k, n in one.failed.items() if n})
            together.excused += one.excused
            together.streams_cut += one.streams_cut
            together.reports += one.reports
        return together
