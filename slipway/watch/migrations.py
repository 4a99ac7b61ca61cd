"""What a database has had, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(found: Mapping[str, Any]) -> str:
    """Return the migrations' states as people read them, oldest first; see `slipway.target.compose.migrate.status`."""
    rows = [("migration", "kind", "state", "")]
    rows += [(_name(m), m["kind"], m["state"], _words(m, found["env"])) for m in found["migrations"]]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows]
    waits = sum(m["state"] == "waits" for m in found["migrations"])
    head = (
        f"{found['stack']} in {found['env']}: {waits or 'no'} {'migration waits' if waits < 2 else 'migrations wait'}"
    )
    if found["database"] != "answers":
        head = f"{found['stack']} in {found['env']}: {found['database']}"
    return "\n".join([head, "", *lines] if found["migrations"] else [head])


def _name(migration: Mapping[str, Any]) -> str:
    return str(migration["file"] or migration["id"]).rpartition("/")[2]


def _words(migration: Mapping[str, Any], env: str) -> str:
    if migration["at"]:
        return f"{str(migration['at'])[:16].replace('T', ' ')}  {migration['release']}"
    if migration["needed_by"]:
        return f"what it takes away, {', '.join(migration['needed_by'])} still needs"
    if migration["state"] == "waits" and migration["kind"] == "contract":
        return f"inv migrate --contract --env {env}"
    return ""
