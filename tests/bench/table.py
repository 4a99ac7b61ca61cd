"""What benchmarks print, and write: rows with what must be, what is aimed at, and the verdict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Row:
    """One number.

    Args:
        what: was measured.
        measured: the number; less is better.
        unit: s, x (times), or "" for counts.
        must: the most it may be (None: only told).
        aim: the most it should be.
        detail: how it came about.
    """

    what: str
    measured: float
    unit: str = "s"
    must: float | None = None
    aim: float | None = None
    detail: str = ""

    @property
    def verdict(self) -> str:
        """Return one word: aim, must, MISSED, or told."""
        if self.must is None:
            return "told"
        if self.measured > self.must:
            return "MISSED"
        return "aim" if self.aim is not None and self.measured <= self.aim else "must"

    def cells(self) -> list[str]:
        """Return the row as words."""
        return [self.what, *(self._number(v) for v in (self.measured, self.must, self.aim)), self.verdict, self.detail]

    def _number(self, value: float | None) -> str:
        return "" if value is None else f"{value:,.4g}" + (f" {self.unit}" if self.unit else "")


HEAD = ["what", "measured", "must", "aim", "verdict", "detail"]


def text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    cells = [HEAD, *(r.cells() for r in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD) - 1)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[-1]]) for line in cells)


def markdown(document: dict[str, Any]) -> str:
    """Return the table of a written result for the documentation."""
    rows = [Row(**{k: v for k, v in r.items() if k != "verdict"}).cells() for r in document["rows"]]
    lines = ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in [HEAD, ["---"] * 6, *rows]]
    head = (
        f"{document['cores']} cores, revision {document['revision']}, {document['when'][:10]}: `{document['command']}`."
    )
    return "\n".join([head, "", *lines])


def revision() -> str:
    """Return this tree's revision."""
    argv = ["git", "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def write(name: str, command: str, rows: Sequence[Row], raw: dict[str, Any], revisions: Sequence[str] = ()) -> Path:
    """Write a result to `.slipway/bench/NAME.json`. Return the file. `revisions`: of its pieces (default: the tree's)."""
    document = {
        "command": command,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "revision": ", ".join(revisions) or revision(),
        "cores": os.cpu_count(),
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
        "raw": raw,
    }
    path = ROOT / ".slipway" / "bench" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def merged(name: str, rows: Sequence[Row], raw: dict[str, Any]) -> tuple[list[Row], dict[str, Any]]:
    """Return the written result with these rows and numbers in it, over those of the same names: one that is made in parts."""
    path = ROOT / ".slipway" / "bench" / f"{name}.json"
    before = json.loads(path.read_text()) if path.exists() else {"rows": [], "raw": {}}
    found = [Row(**{k: v for k, v in row.items() if k != "verdict"}) for row in before["rows"]]
    mine = {row.what: row for row in rows}
    kept = [mine.pop(row.what, row) for row in found]
    return [*kept, *mine.values()], {**before["raw"], **raw}


def document_it(name: str, page: Path = PAGE) -> None:
    """Put a written result into the page, between its marks `<!-- NAME -->` and `<!-- end of NAME -->`."""
    result = json.loads((ROOT / ".slipway" / "bench" / f"{name}.json").read_text())
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = page.read_text()
    new = re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{markdown(result)}\n{end}", old, flags=re.DOTALL)
    assert new.count(begin) == 1, f"{page} has no {begin}"
    page.write_text(new)
