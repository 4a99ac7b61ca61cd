"""What is due, and what is read from the database's log."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.agent import schema
from slipway.agent.failure import OperationFailed
from slipway.agent.migrate import _contracted, _due
from slipway.agent.runners import statement_in
from slipway.agent.state import StackHome, read_json, write_json

LOG = """\
2026-01-01 10:00:00.000 UTC [70] ERROR:  relation "a" does not exist at character 15
2026-01-01 10:00:00.000 UTC [70] STATEMENT:  SELECT * FROM a
2026-01-01 10:00:01.000 UTC [71] ERROR:  type "nosuchtype" does not exist at character 54
2026-01-01 10:00:01.000 UTC [71] HINT:  none
2026-01-01 10:00:01.000 UTC [71] STATEMENT:  ALTER TABLE books
\t    ADD COLUMN bad nosuchtype
2026-01-01 10:00:02.000 UTC [72] LOG:  checkpoint starting
2026-01-01 10:00:03.000 UTC [73] ERROR:  division by zero
"""


def test_the_statement_that_failed_is_the_one_with_the_tools_words() -> None:
    assert (
        statement_in(LOG, 'it says: type "nosuchtype" does not exist')
        == "ALTER TABLE books\n    ADD COLUMN bad nosuchtype"
    )
    assert statement_in(LOG, 'relation "a" does not exist') == "SELECT * FROM a"


def test_a_log_that_does_not_tell() -> None:
    for seen in ("something else", "division by zero", ""):
        assert statement_in(LOG, seen) == ""
    assert statement_in("", "x") == ""


def revision(name: str, after: str | None, kind: str) -> str:
    return f"revision = {name!r}\ndown_revision = {after!r}\nslipway = {kind!r}\n"


CHAIN = schema.read(
    "alembic",
    {
        "versions/a.py": revision("a", None, "expand"),
        "versions/b.py": revision("b", "a", "contract"),
        "versions/c.py": revision("c", "b", "expand"),
    },
)[0]


def at(revision: str | None, *rows: str) -> dict[str, Any]:
    noted = [{"id": m["id"], "kind": m["kind"], "checksum": m["checksum"]} for m in CHAIN if m["id"] in rows]
    return {"rows": noted, "alembic": revision, "server": 170000}


def test_what_an_older_backup_lacks_is_contracted_again(home: StackHome) -> None:
    """A deploy is not refused for a contracting migration that this environment had before a restore; nor does it leave it."""
    with pytest.raises(OperationFailed) as refused:
        _due(home, "alembic", CHAIN, at("a", "a"), "expand")
    assert refused.value.bad_input
    assert "c.py: stands behind versions/b.py" in refused.value.seen
    write_json(home.schema, {"contracted": ["b"]})
    due = _due(home, "alembic", CHAIN, at("a", "a"), "expand")
    assert [(m["id"], m["kind"]) for m in due] == [("b", "contract"), ("c", "expand")], (
        "it is still noted as what it is"
    )


def test_a_revision_that_a_killed_run_left_open_counts_as_run(home: StackHome) -> None:
    write_json(home.schema, {"contracted": ["b"]})
    _contracted(home, "alembic", CHAIN[:1], at("b", "a"))  # a release that does not know it can't tell
    assert read_json(home.schema)["contracted"] == ["b"]
    _contracted(home, "alembic", CHAIN, at("a", "a"))  # one that does sees that it was not run
    assert read_json(home.schema)["contracted"] == []
    _contracted(home, "alembic", CHAIN, at("b", "a", "b"))
    assert read_json(home.schema)["contracted"] == ["b"]
