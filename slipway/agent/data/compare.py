"""Does what was restored hold what the manifest says? Each answer is a list of findings in words; none is good."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from . import postgres
from .postgres import Conversation
from .questions import ABOUT_SQL, SUM_SQL, TABLES_SQL

_MOST = 20
"""Findings that are told of one kind."""


def tables(talking: Conversation, part: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Compare rows and sums of some tables, each in a transaction of its own: nobody waits long for a lock of ours."""
    found = []
    for name in names:
        rows, total = part["tables"][name]
        talking.ask("BEGIN")
        if total is None:  # it could not be summed when it was dumped
            here: list[Any] = [int(talking.ask(f"SELECT count(*) FROM ONLY {name}")), None]  # noqa: S608 - quoted by the server
        else:
            here = json.loads(talking.ask(SUM_SQL.format(table=name)))
        talking.ask("COMMIT")
        if here[0] != rows:
            found.append(f"{name} has {here[0]} rows, {rows} were backed up")
        elif here[1] != total:
            found.append(f"{name} has {rows} rows, but not those that were backed up")
    return found


def missing(talking: Conversation, part: Mapping[str, Any]) -> list[str]:
    """Compare which tables there are."""
    here = set(json.loads(talking.ask(TABLES_SQL)))
    return [f"the table {name} is missing" for name in sorted(set(part["tables"]) - here)]


def rest(talking: Conversation, part: Mapping[str, Any], *, whole: bool) -> list[str]:
    """Compare sequences, large objects and extensions; the last two of a whole database only."""
    about = json.loads(talking.ask(ABOUT_SQL.replace("\n", " ")))
    found = []
    for name, last in part["sequences"].items():
        if not whole and name not in about["sequences"]:
            continue  # of a table that is not kept
        here = about["sequences"].get(name)
        if name not in about["sequences"] or (last is not None and (here is None or here < last)):
            found.append(f"the sequence {name} is at {here}, {last} was backed up")
    if whole:
        gone = sorted(set(part["extensions"]) - set(about["extensions"]))
        found += [f"the extension {name} is missing" for name in gone]
        talking.ask("BEGIN")
        here = postgres.objects(talking)
        talking.ask("COMMIT")
        if here != part["large_objects"]:
            found.append(f"large objects: {here[0]}, {part['large_objects'][0]} were backed up, or others")
    return found[:_MOST]


def files(part: Mapping[str, Any], below: str, here: Mapping[str, tuple[int, str]]) -> list[str]:
    """Compare files.

    Args:
        part: the manifest's part.
        below: the kept path that is looked at.
        here: size and SHA-256 of each file by the path that the service knows it by.
    """
    wanted = {p: v for p, v in part["files"].items() if p == below or p.startswith(f"{below.rstrip('/')}/")}
    found = [f"{path} is missing" for path in sorted(set(wanted) - set(here))]
    found += [f"{path} is one too many" for path in sorted(set(here) - set(wanted))]
    for path in sorted(set(here) & set(wanted)):
        size, _, known = wanted[path]
        if known is None:
            continue  # it changed while it was backed up: only restic knows what it was
        if here[path][0] != size:
            found.append(f"{path} has {here[path][0]} bytes, {size} were backed up")
        elif here[path][1] != known:
            found.append(f"{path} is not the file that was backed up")
    return found[:_MOST]
