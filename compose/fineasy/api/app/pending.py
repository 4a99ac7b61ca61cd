"""`python -m app.pending` prints a line for each migration that the database has not had yet, oldest first.

It reads the migrations' files as text and asks the database one thing, without Alembic: it runs in every deploy.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path

from app.settings import API, SettingError, Settings


def migrations(folder: Path = API / "migrations" / "versions") -> list[tuple[str, str]]:
    """Return revision and title of each migration in `folder`, in the order in which they are applied."""
    after = {}
    for file in folder.glob("[!_]*.py"):
        text = file.read_text(encoding="utf-8")
        named = dict(re.findall(r"^(revision|down_revision)\b.*= *(\S+)$", text, re.MULTILINE))
        title = (ast.get_docstring(ast.parse(text)) or file.stem).splitlines()[0].rstrip(".")
        after[ast.literal_eval(named["down_revision"])] = (ast.literal_eval(named["revision"]), title)
    ordered: list[tuple[str, str]] = []
    while following := after.get(ordered[-1][0] if ordered else None):
        ordered.append(following)
    return ordered


def waiting(current: str | None, known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the migrations after revision `current`. One that this image does not know is newer than all of them."""
    revisions = [None, *(revision for revision, _ in known)]
    return known[revisions.index(current) :] if current in revisions else []


def current_revision(settings: Settings) -> str | None:
    """Return the database's revision; None if it has had no migration. Raise psycopg.Error if it is not there."""
    import psycopg

    with psycopg.connect(settings.database_url, password=settings.database_password, connect_timeout=10) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None


if __name__ == "__main__":
    import psycopg

    try:
        current = current_revision(Settings.from_environment({"REDIS_URL": "unused", **os.environ}))
    except (SettingError, psycopg.Error) as error:
        sys.exit(f"cannot tell which migrations are pending: {error}")
    for migration in waiting(current, migrations()):
        print(*migration)
