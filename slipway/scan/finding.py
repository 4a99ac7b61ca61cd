"""What a scanner says: findings, each with file and line; and what it could not look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that should not be so.

    Args:
        file: path from the checkout's root.
        line: in it, from 1.
        rule: the scanner's name for it, by which exceptions name it.
        words: what is seen, and what to do.
        level: an error fails a scan; a warning only a strict one.
        tool: who says so.
    """

    file: str
    line: int
    rule: str
    words: str
    level: Level
    tool: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.words} [{self.rule}]"


@dataclass
class Report:
    """What one scanner, or all of them, found.

    Args:
        findings: what should not be so.
        unseen: what could not be looked at though it should have been: a strict scan fails for it.
        absent: what was left out, since its program is not here.
    """

    findings: list[Finding] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take another scanner's report in."""
        self.findings += other.findings
        self.unseen += other.unseen
        self.absent += other.absent
