"""Running migrations: files of SQL, and Alembic in the release's image. Whole or not at all, and in nobody's way for long."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

from . import engine, schema
from .context import Context, Result
from .failure import OperationFailed
from .psql import Database, Failed, in_transaction, outside_transaction
from .releases import run_job
from .sqltext import literal, statements
from .state import StackHome

_TRIES = 5
"""How often a migration that waits for a lock is tried. What comes behind it waits as well, so it gives up in between."""
_CONCURRENT_INDEX = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s+(\"[^\"]+\"|\w+)", re.IGNORECASE
)
_LOCKED_OUT = re.compile(r"55P03|LockNotAvailable|canceling statement due to lock timeout")


def _options(how: Result, server: int = 0) -> str:
    """Return Postgres's options for a migration: it waits neither for a lock nor for itself for ever."""
    limits = {key: int(how[key] * 1000) for key in ("lock_timeout", "statement_timeout")}
    if server >= 140000:  # the server notices that whoever asked is gone, in the middle of a statement too
        limits["client_connection_check_interval"] = 2000
    return " ".join(f"-c {key}={value}" for key, value in limits.items())


def sql(
    context: Context, _: StackHome, database: Database, release: str, how: Result, migrations: list[schema.Migration]
) -> None:
    """Run migrations in SQL one after the other, each in a transaction with the note of it.

    Raises:
        OperationFailed: one failed: it is undone, those before it stay, those after it were not begun.
    """
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
            if not migration["transaction"]:
                with contextlib.suppress(Failed):  # the next run does it otherwise
                    _clear_halves(database, migration["sql"])
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
    undone = " and was undone" if migration["transaction"] else ""
    return OperationFailed(f"the migration {where} failed{undone}", seen, service=how["database"])


def alembic(
    context: Context, home: StackHome, database: Database, release: str, how: Result, migrations: list[schema.Migration]
) -> None:
    """Have Alembic, in the release's image, go up to the last of these migrations.

    Raises:
        OperationFailed: one failed; what stays is as its `env.py` divides transactions.
    """
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
