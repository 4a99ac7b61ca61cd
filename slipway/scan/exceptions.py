"""Findings that people have decided to live with, for now: `scan-exceptions.yml`, each with a reason and an end date."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.scan.finding import Finding
from slipway.settings import yamlfile
from slipway.settings.problems import Problems, nearest
from slipway.settings.yamlfile import YamlFile

FILE = "scan-exceptions.yml"
_KEYS = ("rule", "file", "reason", "until")


@dataclass(frozen=True)
class Allowed:
    """One exception: findings of `rule` in files that `file` matches, until a day and that day included."""

    rule: str
    file: str
    reason: str
    until: datetime.date
    line: int

    def covers(self, finding: Finding) -> bool:
        """Tell whether it is about a finding, in time or not."""
        return finding.rule == self.rule and fnmatch.fnmatchcase(finding.file, self.file)


def read(root: Path) -> list[Allowed]:
    """Return the exceptions of the checkout at `root`; none where it has no file of them.

    Raises:
        BadInput: one lacks its reason or its end: all of them are named.
    """
    if not (root / FILE).is_file():
        return []
    problems = Problems()
    file = yamlfile.read(root / FILE, FILE, problems)
    listed = file.data.get("exceptions")
    for key in file.data.keys() - {"exceptions"}:
        file.problem(problems, (key,), f"unknown key{nearest(key, ['exceptions'])}")
    if file.data and not isinstance(listed, list):
        file.problem(problems, ("exceptions",), "should be a list")
    found = [_one(item, index, file, problems) for index, item in enumerate(listed or [])]
    problems.raise_if_any()
    return [allowed for allowed in found if allowed]


def _one(item: Any, index: int, file: YamlFile, problems: Problems) -> Allowed | None:
    at = ("exceptions", index)
    if not isinstance(item, dict):
        file.problem(problems, at, f"should be a mapping with {', '.join(_KEYS)}")
        return None
    for key in item.keys() - set(_KEYS):
        file.problem(problems, (*at, key), f"unknown key{nearest(key, _KEYS)}")
    missing = [key for key in _KEYS if not isinstance(item.get(key), str) or not item[key].strip()]
    for key in missing:
        file.problem(problems, (*at, key) if key in item else at, f"{key} is missing")
    if missing:
        return None
    try:
        until = datetime.date.fromisoformat(item["until"])
    except ValueError:
        file.problem(problems, (*at, "until"), "should be a day, like 2027-03-31")
        return None
    return Allowed(item["rule"], item["file"], item["reason"], until, file.line(at))


def apply(findings: Sequence[Finding], allowed: Sequence[Allowed], today: datetime.date) -> tuple[list[Finding], int]:
    """Return the findings that remain, and how many are excepted. An exception that ended, or covers nothing, is a finding."""
    remaining = []
    used: set[Allowed] = set()
    for finding in findings:
        covering = [a for a in allowed if a.covers(finding)]
        used |= set(covering)
        if not any(a.until >= today for a in covering):
            remaining.append(finding)
    for a in allowed:
        if a.until < today:
            words = f"the exception of {a.rule} in {a.file} ended on {a.until}: mend it, or decide anew ({a.reason})"
            remaining.append(Finding(FILE, a.line, "exception-ended", words, "warning", "exceptions"))
        elif a not in used:
            words = f"nothing is found of {a.rule} in {a.file} any more: take the exception out"
            remaining.append(Finding(FILE, a.line, "exception-unused", words, "warning", "exceptions"))
    return sorted(remaining), len(findings) - sum(f.tool != "exceptions" for f in remaining)
