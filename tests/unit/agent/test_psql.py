"""What psql says, read; what it is told."""

from __future__ import annotations

import json

import pytest

from slipway.agent import psql

ERROR = """\
psql:<stdin>:7: ERROR:  42703: column "shelf" does not exist
LINE 3:     WHERE shelf = 1
                  ^
HINT:  Perhaps you meant to reference the column "books.self".
psql:<stdin>:7: LOCATION:  errorMissingColumn, parse_relation.c:3729
psql:<stdin>:7: STATEMENT:  UPDATE books
    SET title = 'x'
    WHERE shelf = 1;
"""


def test_a_failure_is_taken_apart() -> None:
    failed = psql.Failed(ERROR)
    assert (failed.line, failed.code, failed.what) == (7, "42703", 'column "shelf" does not exist')
    assert failed.statement == "UPDATE books\n    SET title = 'x'\n    WHERE shelf = 1;"
    assert "HINT:  Perhaps" in failed.detail
    assert "LOCATION" not in failed.detail + failed.statement
    assert not failed.locked_out


def test_a_lock_that_was_waited_for() -> None:
    failed = psql.Failed("psql:<stdin>:2: ERROR:  55P03: canceling statement due to lock timeout\n")
    assert failed.locked_out
    assert failed.line == 2


def test_what_is_no_error_of_a_statement() -> None:
    words = 'psql: error: connection to server on socket "/run/x" failed: FATAL:  role "x" does not exist'
    assert "does not exist" in psql.Failed(words).what
    assert psql.Failed("exec: psql: not found").what == "exec: psql: not found"
    assert psql.Failed("").what == ""


def test_a_databases_state() -> None:
    told = [{"server": 170002}, {"row": {"id": "001_a"}}, {"alembic": "0003"}]
    state = psql.read_state("\n".join(json.dumps(t) for t in told) + "\n")
    assert state == {"server": 170002, "ended": 0, "rows": [{"id": "001_a"}], "alembic": "0003"}
    assert psql.read_state(json.dumps(told[0]))["alembic"] is None
    with pytest.raises(ValueError, match="several branches in the database: a, b"):
        psql.read_state("\n".join(json.dumps(t) for t in (told[0], {"alembic": "a"}, {"alembic": "b"})))


def test_a_file_counts_with_its_end_only() -> None:
    """A text that is cut off where its sender died has no COMMIT; a last statement without a semicolon has one."""
    migration = {"id": "001_o'neill", "kind": "expand", "checksum": "c", "sql": "SELECT 1 -- the end"}
    text = psql.in_transaction(migration, "v1")
    assert text.startswith("SELECT 1 -- the end\n;\nINSERT INTO public.slipway_migrations")
    assert "'001_o''neill'" in text
    assert text.endswith(";\nCOMMIT;\n")
    assert "COMMIT" not in psql.outside_transaction(migration, "v1")
