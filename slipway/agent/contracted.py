"""What a database has been contracted by, and what follows for the migrations that a release brings. Pure.

A contracting migration is noted before it runs, outside of the database: killed in between, no release that needs the old shape
serves again all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from . import schema
from .schema import Migration


def chosen(
    tool: str, known: Sequence[Migration], state: Mapping[str, Any], which: str, noted: Collection[str]
) -> tuple[list[Migration], list[str]]:
    """Return what is to be run, and why release and database do not go together.

    Args:
        tool: `sql` or `alembic`.
        known: the release's migrations.
        state: what the database says.
        which: `expand`, `contract`, or `all`: both, in their order.
        noted: ids that this environment has contracted by before. What an older backup has not of these runs with what expands: no
            release here needs that shape.
    """
    problems = schema.objections(tool, known, state)
    waits = schema.waiting(tool, known, state)
    seen = [{**m, "kind": schema.EXPAND} if m["id"] in noted else m for m in waits]
    problems += schema.behind(tool, seen) if which == schema.EXPAND else []
    due = {m["id"] for m in schema.due(tool, seen if which == schema.EXPAND else waits, which)}
    return [m for m in waits if m["id"] in due], problems


def unnoted(tool: str, known: Sequence[Migration], state: Mapping[str, Any]) -> list[Migration]:
    """Return the migrations that the database has had and has not noted: Alembic's, which notes its last one only."""
    noted = {row["id"] for row in state["rows"]}
    had = schema.had(tool, known, state)
    missing = [m for m in known if m["id"] in had - noted]
    # A run that was killed before it noted the shape leaves its last row without one.
    unshaped = state["rows"][-1:] if state["rows"] and not state["rows"][-1]["shaped"] else []
    return missing or [{"id": r["id"], "kind": r["kind"], "checksum": r["checksum"]} for r in unshaped]


def had(tool: str, known: Sequence[Migration], state: Mapping[str, Any], noted: Collection[str]) -> set[str]:
    """Return the contracting migrations that the database has had, or may have had: who does not know them may not serve."""
    return {row["id"] for row in state["rows"] if row["kind"] == schema.CONTRACT} | unsure(tool, known, state, noted)


def unsure(tool: str, known: Sequence[Migration], state: Mapping[str, Any], noted: Collection[str]) -> set[str]:
    """Return the contracting migrations of which a killed run left open whether the database has had them.

    A file of SQL and the note of it are one transaction. Alembic's note comes after: only a release that knows the revision can
    tell.
    """
    if tool == "sql" or state["alembic"] in {None, *(m["id"] for m in known)}:
        return set()
    return set(noted) - {m["id"] for m in known} - {row["id"] for row in state["rows"]}


def refusal(doubtful: Collection[str]) -> tuple[str, str]:
    """Return what fails, and what was seen, where `unsure` returned something."""
    words = "it was being run when its run was killed, and this version does not know it: inv migrate of one that does tells"
    return f"the database may have had {', '.join(sorted(doubtful))}", words
