"""The operations on a database's shape: what waits, running it, one runner at a time, whole or not at all.

Which migrations a release has is read from its image: what was tested is what runs. Which ones the database has had, it says
itself.
"""

from __future__ import annotations

import contextlib
from typing import Any

from . import contracted, engine, runners, schema
from .context import Context, Result, operation
from .data import backup
from .failure import OperationFailed
from .psql import Database, Failed
from .state import StackHome, now, read_json, write_json


@operation("schema.look")
def _look(context: Context, home: StackHome, release: str | None, how: Result) -> Result:
    """Tell what the database says, and the migrations of a release that is kept here (None: none); change nothing."""
    known = of_release(home, release, how) if release else []
    try:
        return {"known": known, "state": _database(context, home, how).state(), "why": ""}
    except OperationFailed as error:  # before the first deploy there is none
        return {"known": known, "state": None, "why": f"{error.what} {error.seen}".strip()}


@operation("schema.migrate")
def _migrate(context: Context, home: StackHome, release: str, how: Result, which: str) -> Result:
    """Bring the database to the shape that a release expects.

    Args:
        context: the session.
        home: the stack's folder.
        release: whose migrations.
        how: `tool`, `service` (whose image), `folder` there, `database` (the accessory), `command`, `lock_timeout` and
            `statement_timeout` in seconds.
        which: `expand`, `contract`, or `all`: both, in their order.

    Raises:
        OperationFailed: bad input: files are wrong, one was edited, or the release needs an older shape; else: a migration
            failed, and the database is as it was before that one.
    """
    tool, known = how["tool"], of_release(home, release, how)
    home.note(release, schema=[{k: m[k] for k in ("id", "kind", "checksum")} for m in known])
    database = _database(context, home, how)
    state = database.state()
    unsure = contracted.unsure(tool, known, state, _noted(home))
    if unsure:
        raise OperationFailed(*contracted.refusal(unsure), bad_input=True)
    ran: list[schema.Migration] = []
    due = _due(home, tool, known, state, which)
    if due and not context.data:  # a restore has made its own backup
        backup.before_migrations(home, context.by, context.progress)
    if due or contracted.unnoted(tool, known, state):
        with database.alone(context.progress):
            ran = _due(home, tool, known, database.state(), which)
            _intend(home, ran)
            try:
                (runners.sql if tool == "sql" else runners.alembic)(context, home, database, release, how, ran)
            except OperationFailed:
                with contextlib.suppress(OperationFailed, Failed):  # what failed is to be told, not that this does too
                    _note(home, database, tool, known, release)
                raise
            _note(home, database, tool, known, release)
            state = database.state()
    left = _due(home, tool, known, state, which)
    if left:
        names = "\n".join(m["file"] for m in left)
        raise OperationFailed(
            "the migrations ran, but the database has not had all of them", names, service=how["service"]
        )
    _contracted(home, tool, known, state)
    waits = [m["file"] for m in schema.waiting(tool, known, state)]
    return {"ran": [m["file"] for m in ran], "waits": waits}


def _note(home: StackHome, database: Database, tool: str, known: list[schema.Migration], release: str) -> None:
    """Note what has been run, in the database and on the host."""
    database.note(contracted.unnoted(tool, known, database.state()), release)
    _contracted(home, tool, known, database.state())


def of_release(home: StackHome, release: str, how: Result) -> list[schema.Migration]:
    """Return the migrations that a release's image has, read once for each release.

    Raises:
        OperationFailed: bad input: the image has no such folder, or files are wrong.
    """
    file = home.release(release) / "migrations.json"
    noted = read_json(file)
    if noted is None:
        image = home.meta(release)["images"][how["service"]]
        digest = engine.label(image, "slipway.migrations")
        others = (read_json(home.release(r) / "migrations.json") or {} for r in home.known())
        noted = next((n for n in others if digest and n.get("digest") == digest), None)
        noted = noted or {"digest": digest, "migrations": _read(home, image, how)}
        write_json(file, noted)
    return list(noted["migrations"])


def _read(home: StackHome, image: str, how: Result) -> list[schema.Migration]:
    found, problems = schema.read(how["tool"], engine.folder_of_image(image, how["folder"], home.stack))
    if problems:
        words = "\n".join(problems)
        raise OperationFailed("the migrations of this version are not in order", words, bad_input=True)
    return found


def _database(context: Context, home: StackHome, how: Result) -> Database:
    return Database(home, how["database"], context.fences.get(home.stack))


def _due(
    home: StackHome, tool: str, known: list[schema.Migration], state: dict[str, Any], which: str
) -> list[schema.Migration]:
    """Return what is to be run; raise OperationFailed (bad input) where release and database don't go together."""
    due, problems = contracted.chosen(tool, known, state, which, _noted(home))
    if problems:
        words = "\n".join(problems)
        raise OperationFailed("the migrations of this version do not go with the database", words, bad_input=True)
    return due


def _noted(home: StackHome) -> list[str]:
    return list((read_json(home.schema) or {}).get("contracted", []))


def _intend(home: StackHome, migrations: list[schema.Migration]) -> None:
    """Note contracting migrations before they run: killed in between, a rollback past them is refused all the same."""
    coming = [m["id"] for m in migrations if m["kind"] == schema.CONTRACT]
    if coming:
        write_json(home.schema, {"contracted": sorted({*_noted(home), *coming}), "at": now()})


def _contracted(home: StackHome, tool: str, known: list[schema.Migration], state: dict[str, Any]) -> None:
    """Note which contracting migrations the database has had."""
    found = contracted.had(tool, known, state, _noted(home))
    if set(_noted(home)) != found:
        write_json(home.schema, {"contracted": sorted(found), "at": now()})
