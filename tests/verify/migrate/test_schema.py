"""After a migration: the database itself is asked which version and which shape it has, and the release which it expects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.host import Host

from slipway.agent.psql import SHAPE
from slipway.agent.schema import TABLE

_PSQL = """\
PGPASSWORD=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}" 2>/dev/null)}
export PGPASSWORD
exec psql -X -q -A -t -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" -c "$1"
"""


def ids(host: Host, **labels: str) -> list[str]:
    filters = [word for key, value in labels.items() for word in ("--filter", f"label=slipway.{key}={value}")]
    return host.check_output("docker ps --quiet" + " %s" * len(filters), *filters).split()


@pytest.fixture(scope="module")
def answer(host: Host, facts: dict[str, Any], by_itself: str) -> Any:
    """What the stack's own `pending` command said, in a container of the release, or in one made for this."""
    migrate, stack, release = facts["migrate"], facts["stack"], facts["release"]
    found = ids(host, stack=stack, release=release, service=migrate["service"])
    if found:
        argv = ["docker", "exec", found[0], *migrate["pending"]]
    else:
        file = f"/var/lib/slipway/stacks/{stack}/releases/{release}/compose.yaml"
        argv = ["docker", "compose", "-p", f"{stack}-{release}", "-f", file, "run", "--rm", "--no-deps", "-T"]
        argv += [migrate["service"], *migrate["pending"]]
    return host.run(" ".join(["%s"] * len(argv)), *argv)


def test_pending_command_works(answer: Any) -> None:
    assert answer.rc == 0, f"it exited {answer.rc}: {answer.stderr.strip()[-500:]}"


def test_no_migration_waits(answer: Any) -> None:
    waiting = answer.stdout.strip().splitlines()
    assert not waiting, f"{len(waiting)} wait: {', '.join(waiting[:10])}"


@dataclass(frozen=True)
class Database:
    """What the database says: its rows (id -> kind, checksum), Alembic's revision, the shape that was noted and the one it has."""

    rows: dict[str, dict[str, str]]
    revision: str | None
    noted: list[str] | None
    shape: list[str]


@pytest.fixture(scope="module")
def database(host: Host, facts: dict[str, Any], migrated: str) -> Database:
    """The database, asked in its own container."""
    found = ids(host, stack=facts["stack"], role="accessory", service=migrated)
    assert found, f"no container of {migrated} runs"

    def ask(sql: str) -> Any:
        said = host.run("docker exec %s sh -c %s psql %s", found[0], _PSQL, sql)
        assert said.rc == 0, f"{migrated} does not answer: {said.stderr.strip()[-300:]}"
        return json.loads(said.stdout.strip() or "null")

    last = f"SELECT shape FROM {TABLE} ORDER BY applied_at DESC, id DESC LIMIT 1"
    rows = (
        f"SELECT coalesce(json_agg(json_build_object('id', id, 'kind', kind, 'checksum', checksum)), '[]') FROM {TABLE}"
    )
    ours, alembic = ask(f"SELECT json_build_array(to_regclass('{TABLE}'), to_regclass('alembic_version'))")
    return Database(
        {row["id"]: row for row in (ask(rows) if ours else [])},
        ask("SELECT to_json(max(version_num)) FROM alembic_version") if alembic else None,
        ask(last) if ours else None,
        ask(SHAPE),
    )


@pytest.fixture(scope="module")
def expected(host: Host, facts: dict[str, Any]) -> list[dict[str, str]]:
    """The migrations that the release was made with, in their order."""
    path = f"/var/lib/slipway/stacks/{facts['stack']}/releases/{facts['release']}/release.json"
    found: list[dict[str, str]] | None = json.loads(host.check_output("cat %s", path)).get("schema")
    if found is None:
        pytest.skip("the release was deployed before Slipway knew its migrations")
    return found


def test_database_has_had_what_the_release_expects(
    database: Database, expected: list[dict[str, str]], facts: dict[str, Any]
) -> None:
    order = [m["id"] for m in expected]
    had = set(database.rows)
    if facts["migrate"]["kind"] == "alembic":
        newer = database.revision is not None and database.revision not in order
        had = set(order if newer else order[: order.index(database.revision) + 1] if database.revision else [])
    waits = [m["id"] for m in expected if m["kind"] == "expand" and m["id"] not in had]
    assert not waits, f"it lacks {', '.join(waits[:10])}"


def test_migrations_are_those_that_were_run(
    database: Database, expected: list[dict[str, str]], facts: dict[str, Any]
) -> None:
    edited = [m["id"] for m in expected if database.rows.get(m["id"], m)["checksum"] != m["checksum"]]
    assert not edited or facts["migrate"]["kind"] == "alembic", f"edited after they had been run: {', '.join(edited)}"


def test_nothing_was_taken_away_that_the_release_needs(database: Database, expected: list[dict[str, str]]) -> None:
    known = {m["id"] for m in expected}
    past = [i for i, row in database.rows.items() if row["kind"] == "contract" and i not in known]
    assert not past, f"the database has contracted by {', '.join(past)}, which the release does not know"


def test_shape_is_what_the_migrations_left(database: Database) -> None:
    if database.noted is None:
        pytest.skip("no shape was noted: the next inv migrate does it")
    gone = sorted(set(database.noted) - set(database.shape))
    assert not gone, f"it has no longer: {', '.join(gone[:10])}"
