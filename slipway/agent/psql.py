"""Postgres, asked by the `psql` of the accessory's own container: the stack's images need no driver for it.

It speaks over the socket there, so no password leaves the container. What it is to do comes by standard input.
"""

from __future__ import annotations

# ruff: noqa: S608 - texts go in as literals
import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import engine, schema
from .failure import OperationFailed
from .sqltext import literal
from .state import StackHome

LOCK = 7_305_811_241
"""Number of the advisory lock that whoever migrates a database holds. Any number, as long as it stays the same."""
_WAIT = 60.0
"""Seconds to wait for somebody else who migrates the database."""
_LONGEST = 24 * 3600.0
_END = "-- that was all"

_SHELL = """\
PGPASSWORD=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}" 2>/dev/null)}
PGCLIENTENCODING=UTF8
export PGPASSWORD PGCLIENTENCODING
exec psql -X -q -A -t -b -v ON_ERROR_STOP=1 -v VERBOSITY=verbose \
  -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" "$@"
"""

STATE = f"""\
SELECT json_build_object('server', current_setting('server_version_num')::int);
SELECT to_regclass('{schema.TABLE}') IS NOT NULL AS ours, to_regclass('alembic_version') IS NOT NULL AS theirs \\gset
\\if :ours
SELECT json_build_object('row', json_build_object('id', id, 'kind', kind, 'checksum', checksum, 'release', release,
  'shaped', shape IS NOT NULL, 'at', to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
  FROM {schema.TABLE} ORDER BY applied_at, id;
\\endif
\\if :theirs
SELECT json_build_object('alembic', version_num) FROM alembic_version;
\\endif
"""

TABLE = f"""\
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS {schema.TABLE} (
    id text PRIMARY KEY,
    kind text NOT NULL,
    checksum text NOT NULL,
    release text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    shape jsonb
);
"""

SHAPE = """\
SELECT coalesce(jsonb_agg(part ORDER BY part), '[]') FROM (
    SELECT format('%s %I.%I', CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence'
        WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END, n.nspname, c.relname) AS part, c.oid
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I') AND NOT c.relispartition AND coalesce(i.indisvalid, true)
    UNION ALL
    SELECT format('column %I.%I.%I %s', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)), c.oid
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
) AS parts
WHERE oid IN (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
"""
"""A query for the database's shape, a list of texts: tables, columns, valid indexes, but for extensions' and partitions."""


PSQL = ["sh", "-c", _SHELL, "psql"]
"""The program that asks, in the database's container."""


def read_state(printed: str) -> dict[str, Any]:
    """Return what the query `STATE` printed. Raise ValueError where Alembic has several branches in the database."""
    told = [json.loads(line) for line in printed.splitlines() if line]
    revisions = [t["alembic"] for t in told if "alembic" in t]
    if len(revisions) > 1:
        raise ValueError(f"Alembic has several branches in the database: {', '.join(revisions)}")
    return {
        "server": next(t["server"] for t in told if "server" in t),
        "ended": sum(t.get("ended", 0) for t in told),
        "rows": [t["row"] for t in told if "row" in t],
        "alembic": revisions[0] if revisions else None,
    }


class Failed(Exception):
    """Postgres refused something. `code` is its SQLSTATE, `line` where in the text, `what` its words, `statement` the SQL."""

    def __init__(self, output: str) -> None:
        super().__init__(output)
        lines = [line for line in output.splitlines() if not re.match(r"(psql:\S+: )?LOCATION:", line)]
        text = "\n".join(lines)
        error = re.search(r"^(?:psql:\S+?:(\d+): )?(?:ERROR|FATAL):\s+(?:([0-9A-Z]{5}): )?(.*)$", text, re.M)
        statement = re.search(r"^(?:psql:\S+: )?STATEMENT:\s+(.*)\Z", text, re.M | re.S)
        self.line = int(error.group(1) or 0) if error else 0
        self.code = (error.group(2) or "") if error else ""
        self.what = error.group(3) if error else text.strip()[-2000:]
        self.statement = statement.group(1).strip() if statement else ""
        middle = text[error.end() : statement.start() if statement else None] if error else ""
        self.detail = "\n".join(re.sub(r"^psql:\S+: ", "", line) for line in middle.strip().splitlines())

    @property
    def locked_out(self) -> bool:
        """Whether it waited for a lock for longer than it may."""
        return self.code == "55P03"


class Database:
    """The database of a stack's accessory."""

    def __init__(self, home: StackHome, service: str, fence: int | None) -> None:
        found = engine.containers(slipway_stack=home.stack, slipway_role="accessory", slipway_service=service)
        self.container = next((c["Id"] for c in found if c["State"]["Running"]), "")
        if not self.container:
            raise OperationFailed(f"the database {service} does not run", service=service)
        self.service, self._mine = service, f"slipway/{home.stack}/"
        self._keeper: Any = None
        self.name = f"{self._mine}{fence or 0}"
        """What the database calls our connections."""

    def argv(self, options: str = "", *argv: str) -> list[str]:
        """Return the command that runs psql; `options` are Postgres's own (`-c name=value ...`)."""
        more = ["-e", f"PGAPPNAME={self.name}", "-e", f"PGOPTIONS={options}"]
        return ["docker", "exec", "-i", *more, self.container, *PSQL, *argv]

    def run(self, text: str, options: str = "", *, first: tuple[str, ...] = ()) -> str:
        """Have psql do a text, and return what it printed.

        Args:
            text: SQL.
            options: as `argv` takes them.
            first: statements before it, which no line numbers count.

        Raises:
            Failed: Postgres refused a statement; what comes after it was not done.
        """
        words = [word for sql in first for word in ("-c", sql)]
        code, out, err = engine.command(self.argv(options, *words, "-f", "-"), stdin=text, timeout=_LONGEST)
        if code != 0:
            raise Failed(err or out)
        return out

    def ask(self, text: str) -> str:
        """Ask the database something, over the connection that is open while nobody else migrates it. Raises as `run`."""
        if self._keeper is None:
            return self.run(text)
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(f"{text}\n\\echo {_END}\n")
            self._keeper.stdin.flush()
        lines: list[str] = []
        while (line := self._keeper.stdout.readline()) != f"{_END}\n":
            if not line:
                raise Failed(self._keeper.stderr.read())
            lines.append(line)
        return "".join(lines)

    def state(self) -> dict[str, Any]:
        """Return what the database says: `rows` of its table of migrations, `alembic`: its revision, `server`: its version.

        Connections of runs that this one has superseded are ended first: what they had not committed is as if it had not been.

        Raises:
            OperationFailed: it does not answer, or Alembic has several branches there.
        """
        try:
            for _ in range(100):
                told = read_state(self.ask(self._superseded() + STATE))
                if not told["ended"]:
                    break
                time.sleep(0.1)
            return told
        except Failed as error:
            what = "the database can't be asked for its version"
            raise OperationFailed(what, error.what, service=self.service) from error
        except ValueError as error:
            raise OperationFailed(str(error), service=self.service) from error

    def note(self, migrations: list[schema.Migration], release: str) -> None:
        """Note in the database which migrations it has had, and its shape with them."""
        rows = "".join(record(m, release) for m in migrations)
        last = f"(SELECT id FROM {schema.TABLE} ORDER BY applied_at DESC, id DESC LIMIT 1)"
        self.ask(f"BEGIN;\n{rows}UPDATE {schema.TABLE} SET shape = ({SHAPE}) WHERE id = {last};\nCOMMIT;\n")

    @contextlib.contextmanager
    def alone(self, progress: Callable[[str], None]) -> Iterator[None]:
        """Be the only one who migrates the database, for a block; it has the table of migrations then.

        Raises:
            OperationFailed: somebody else migrates it for too long.
        """
        with engine.child(self.argv("", "-f", "-")) as keeper:
            self._keeper = keeper
            try:
                self._take(progress)
                self.ask(TABLE)
                yield
            except Failed as error:
                raise OperationFailed("the database refused", error.what, service=self.service) from error
            finally:
                self._keeper = None
                with contextlib.suppress(OSError, ValueError):
                    keeper.communicate()  # the end of its input ends it, and that its lock

    def _take(self, progress: Callable[[str], None]) -> None:
        until = time.monotonic() + _WAIT
        while True:
            taken = self.ask(f"SELECT pg_try_advisory_lock({LOCK});").strip() == "t"
            self.state()  # a killed run's connection may hold it: this ends those
            if taken:
                return
            if time.monotonic() > until:
                raise OperationFailed("somebody else migrates this database", self._who(), service=self.service)
            progress(f"somebody else migrates this database: {self._who()}")
            time.sleep(0.5)

    def _who(self) -> str:
        held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        held += f" AND (classid::bigint << 32 | objid::bigint) = {LOCK}"
        words = "format('%s, %s, since %s', application_name, usename, backend_start::timestamptz(0))"
        return self.ask(f"SELECT {words} FROM pg_stat_activity WHERE pid IN ({held});").strip() or "nobody, by now"

    def _superseded(self) -> str:
        """Return the query that ends connections of earlier runs: their deployer is gone, or has lost its lease."""
        number = f"substr(application_name, {len(self._mine) + 1})"
        old = f"starts_with(application_name, {literal(self._mine)}) AND {number} ~ '^[0-9]+$'"
        mine = self.name[len(self._mine) :]
        return (
            "SELECT json_build_object('ended', count(pg_terminate_backend(pid))) FROM pg_stat_activity"
            f" WHERE CASE WHEN {old} THEN {number}::bigint < {mine} ELSE false END;\n"
        )


def in_transaction(migration: schema.Migration, release: str) -> str:
    """Return the text that runs a migration after a BEGIN, and notes it. Without its end nothing of it counts."""
    return f"{migration['sql']}\n;\n{record(migration, release)}COMMIT;\n"


def outside_transaction(migration: schema.Migration, release: str) -> str:
    """Return the text that runs a migration outside of a transaction, and then notes it."""
    return f"{migration['sql']}\n;\n{record(migration, release)}"


def record(migration: schema.Migration, release: str) -> str:
    """Return the statement that notes a migration in the database."""
    values = ", ".join(literal(migration[key]) for key in ("id", "kind", "checksum"))
    return (
        f"INSERT INTO {schema.TABLE} (id, kind, checksum, release) VALUES ({values}, {literal(release)})"
        " ON CONFLICT (id) DO NOTHING;\n"
    )
