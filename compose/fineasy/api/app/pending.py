"""`python -m app.pending` prints a line for each migration that the database has not had yet, oldest first.

It reads the migrations' files as text and asks the database one thing, without Alembic: it runs in every plan.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path

from app.settings import API, SettingError, Settings

VERSIONS = API / "migrations" / "versions"


def migrations(folder: Path = VERSIONS) -> list[tuple[str, str]]:
    """Return revision and title of each migration in `folder`, in the order in which they are applied."""
    after: dict[str | None, tuple[str, str]] = {}
    for file in folder.glob("[!_]*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {
            target.id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id in ("revision", "down_revision")
        }
        title = (ast.get_docstring(tree) or file.stem).splitlines()[0].rstrip(".")
        after[named["down_revision"]] = (named["revision"], title)
    ordered, last = [], None
    while last in after:
        ordered.append(after[last])
        last = ordered[-1][0]
    return ordered


def waiting(current: str | None, known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the migrations after revision `current`. One that this image does not know is newer than all of them."""
    revisions = [revision for revision, _ in known]
    if current is None:
        return known
    return known[revisions.index(current) + 1 :] if current in revisions else []


def current_revision(settings: Settings) -> str | None:
    """Return the database's revision; None if it has had no migration. Raise psycopg.Error if it is not there."""
    import psycopg

    password = {"password": settings.database_password} if settings.database_password else {}
    with psycopg.connect(settings.database_url, connect_timeout=10, **password) as connection:
        if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return row[0] if row else None


def main() -> None:
    """Print what is pending. Exit with 1 and a line if the database cannot be asked."""
    import psycopg

    try:
        current = current_revision(Settings.from_environment({"REDIS_URL": "unused", **os.environ}))
    except (SettingError, psycopg.Error) as error:
        sys.exit(f"cannot tell which migrations are pending: {error}")
    for revision, title in waiting(current, migrations()):
        print(revision, title)


if __name__ == "__main__":
    main()
