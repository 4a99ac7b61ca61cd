"""The operations on a database's shape: what waits, running it, one runner at a time, whole or not at all.

Which migrations a release has is read from its image: what was tested is what runs. Which ones the database has had, it says
itself.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from . import engine, schema
from .context import Context, Result, operation
from .failure import OperationFailed
from .psql import Database, Failed, in_transaction, outside_transaction
from .releases import run_job
from .sqltext import literal, statements
from .state import StackHome, now, read_json, write_json

_TRIES = 5
"""How often a migration that waits for a lock is tried. What comes behind it waits as well, so it gives up in between."""
_CONCURRENT_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s+(\"[^\"]+\"|\w+)", re.IGNORECASE
)
_LOCKED_OUT = re.compile(r"55P03|LockNotAvailable|canceling statement due to lock timeout")


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
    unsure = sorted(_unsure(home, tool, known, state))
    if unsure:
        words = "it was being run when its run was killed, and this version does not know it: inv migrate of one that does tells"
        raise OperationFailed(f"the database may have had {', '.join(unsure)}", words, bad_input=True)
    ran: list[schema.Migration] = []
    if _due(tool, known, state, which) or _unnoted(tool, known, state):
        with database.alone(context.progress):
            ran = _due(tool, known, database.state(), which)
            _intend(home, ran)
            try:
                (_run_sql if tool == "sql" else _run_alembic)(context, home, database, release, how, ran)
            except OperationFailed:
                with contextlib.suppress(OperationFailed, Failed):  # what failed is to be told, not that this does too
                    _note(home, database, tool, known, release)
                raise
            _note(home, database, tool, known, release)
            state = database.state()
    left = _due(tool, known, state, which)
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
    database.note(_unnoted(tool, known, database.state()), release)
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


def _due(tool: str, known: list[schema.Migration], state: dict[str, Any], which: str) -> list[schema.Migration]:
    """Return what is to be run; raise OperationFailed (bad input) where release and database don't go together."""
    problems = schema.objections(tool, known, state)
    waits = schema.waiting(tool, known, state)
    behind = schema.blocked(tool, waits) if which == schema.EXPAND else None
    if behind:
        first = next(m for m in waits if m["kind"] == schema.CONTRACT)
        words = (
            f"stands behind {first['file']}, which contracts and has not been run: run that, or put this one before it"
        )
        problems.append(f"{behind['file']}: {words}")
    if problems:
        raise OperationFailed(
            "the migrations of this version do not go with the database", "\n".join(problems), bad_input=True
        )
    return schema.due(tool, waits, which)


def _unnoted(tool: str, known: list[schema.Migration], state: dict[str, Any]) -> list[schema.Migration]:
    """Return the migrations that the database has had and has not noted: Alembic's, which notes its last one only."""
    noted = {row["id"] for row in state["rows"]}
    had = schema.had(tool, known, state)
    missing = [m for m in known if m["id"] in had - noted]
    # A run that was killed before it noted the shape leaves its last row without one.
    unshaped = state["rows"][-1:] if state["rows"] and not state["rows"][-1]["shaped"] else []
    return missing or [{"id": r["id"], "kind": r["kind"], "checksum": r["checksum"]} for r in unshaped]


def _intend(home: StackHome, migrations: list[schema.Migration]) -> None:
    """Note contracting migrations before they run: killed in between, a rollback past them is refused all the same."""
    coming = [m["id"] for m in migrations if m["kind"] == schema.CONTRACT]
    if coming:
        noted = (read_json(home.schema) or {}).get("contracted", [])
        write_json(home.schema, {"contracted": sorted({*noted, *coming}), "at": now()})


def _contracted(home: StackHome, tool: str, known: list[schema.Migration], state: dict[str, Any]) -> None:
    """Note which contracting migrations the database has had: no release that does not know them may serve again."""
    found = {row["id"] for row in state["rows"] if row["kind"] == schema.CONTRACT} | _unsure(home, tool, known, state)
    if set((read_json(home.schema) or {}).get("contracted", [])) != found:
        write_json(home.schema, {"contracted": sorted(found), "at": now()})


def _unsure(home: StackHome, tool: str, known: list[schema.Migration], state: dict[str, Any]) -> set[str]:
    """Return the contracting migrations of which a killed run left open whether the database has had them.

    A file of SQL and the note of it are one transaction. Alembic's note comes after: only a release that knows the revision can
    tell.
    """
    if tool == "sql" or state["alembic"] in {None, *(m["id"] for m in known)}:
        return set()
    noted = (read_json(home.schema) or {}).get("contracted", [])
    return set(noted) - {m["id"] for m in known} - {row["id"] for row in state["rows"]}


def _options(how: Result, server: int = 0) -> str:
    """Return Postgres's options for a migration: it waits neither for a lock nor for itself for ever."""
    limits = {key: int(how[key] * 1000) for key in ("lock_timeout", "statement_timeout")}
    if server >= 140000:  # the server notices that whoever asked is gone, in the middle of a statement too
        limits["client_connection_check_interval"] = 2000
    return " ".join(f"-c {key}={value}" for key, value in limits.items())


def _run_sql(
    context: Context, _: StackHome, database: Database, release: str, how: Result, migrations: list[schema.Migration]
) -> None:
    for number, migration in enumerate(migrations, 1):
        context.progress(f"{migration['file']} ({number} of {len(migrations)})")

        def once(migration: schema.Migration = migration) -> None:
            if migration["transaction"]:
                database.run(in_transaction(migration, release), _options(how), first=("BEGIN",))
                return
            _clear_halves(database, migration["sql"])
            (part,) = statements(migration["sql"])
            # What is done concurrently waits for others and stands in nobody's way: it may take its time.
            database.run(outside_transaction(migration, release), "" if "CONCURRENTLY" in part.words else _options(how))

        try:
            _patiently(context, how, migration["file"], once)
        except Failed as error:
            raise _failed(migration, error, how) from error


def _clear_halves(database: Database, sql: str) -> None:
    """Remove the invalid index that an interrupted CREATE INDEX CONCURRENTLY of this migration left."""
    for name in _CONCURRENT_INDEX.findall(sql):
        plain = name[1:-1] if name.startswith('"') else name.lower()
        found = "SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        found += f" WHERE NOT i.indisvalid AND c.relname = {literal(plain)};"
        for index in database.run(found).split("\n"):
            if index:
                database.run(f"DROP INDEX CONCURRENTLY {index};")


def _failed(migration: schema.Migration, error: Failed, how: Result) -> OperationFailed:
    # psql tells where a statement ends: people look for where it begins.
    begins = [part.line for part in statements(migration["sql"]) if part.line <= error.line]
    where = f"{migration['file']}:{begins[-1]}" if begins else migration["file"]
    seen = "\n".join(part for part in (error.what, error.detail, error.statement) if part)
    if error.locked_out:
        seen += f"\n(tried {_TRIES} times, {how['lock_timeout']:g} s each: somebody else keeps the lock)"
    return OperationFailed(f"the migration {where} failed and was undone", seen, service=how["database"])


def _run_alembic(
    context: Context, home: StackHome, database: Database, release: str, how: Result, migrations: list[schema.Migration]
) -> None:
    if not migrations:
        return
    names = ", ".join(m["file"].rpartition("/")[2] for m in migrations)
    context.progress(names)
    server = database.state()["server"]
    environment = {"PGOPTIONS": _options(how, server), "PGAPPNAME": database.name}
    command = [*how["command"], "upgrade", migrations[-1]["id"]]
    what = f"a migration failed ({names})"
    began = time.time()

    def once() -> None:
        try:
            run_job(context, home, release, how["service"], command, what, environment)
        except OperationFailed as error:
            if _LOCKED_OUT.search(error.seen):
                raise _LockedOut(error) from error
            raise

    try:
        _patiently(context, how, names, once)
    except (OperationFailed, _LockedOut) as error:
        failure = error.failure if isinstance(error, _LockedOut) else error
        failure.seen += _statement_of(database, failure.seen, began)
        raise failure from error


class _LockedOut(Exception):
    """A migration of Alembic's waited for a lock for too long."""

    locked_out = True

    def __init__(self, failure: OperationFailed) -> None:
        super().__init__(failure.what)
        self.failure = failure


def _statement_of(database: Database, seen: str, began: float) -> str:
    """Return the statement that failed, from the database's own log: the tool may not have told it."""
    found = statement_in(engine.logs(database.container, 200, since=began), seen)
    return f"\nstatement: {found}" if found and found not in seen else ""


def statement_in(log: str, seen: str) -> str:
    """Return the last statement in a log of Postgres's that failed with words that stand in `seen`; "" if there is none."""
    message, found = "", ""
    # A statement's further lines begin with a tab.
    for entry in re.split(r"\n(?!\t)", log):
        if " ERROR:  " in entry:
            message = re.sub(r" at character \d+$", "", entry.partition(" ERROR:  ")[2])
        elif " STATEMENT:  " in entry and message and message in seen:
            found = entry.partition(" STATEMENT:  ")[2].replace("\n\t", "\n").strip()
    return found


def _patiently(context: Context, how: Result, name: str, once: Any) -> None:
    """Do something; again, with longer and longer pauses, where it waited for a lock for too long."""
    for attempt in range(1, _TRIES + 1):
        try:
            once()
            return
        except (Failed, _LockedOut) as error:
            if not error.locked_out or attempt == _TRIES:
                raise
        pause = how["lock_timeout"] * 2 ** (attempt - 1)
        context.progress(f"{name}: somebody else keeps the lock, again in {pause:.0f} s ({attempt + 1} of {_TRIES})")
        time.sleep(pause)
