"""Migrations as values: read from files, what is wrong with them, which are to be run."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.agent import schema

ONE = "-- First.\n-- slipway: expand\nCREATE TABLE a (id bigint);\n"
TWO = "-- slipway: contract\nDROP TABLE b;\n"


def sql(**files: str) -> tuple[list[dict[str, Any]], list[str]]:
    return schema.read("sql", {f"{name.lstrip('_')}.sql": text for name, text in files.items()})


def revision(name: str, after: str | None, kind: str | None = "expand") -> str:
    said = f"slipway = {kind!r}\n" if kind else ""
    return f'"""Title of {name}."""\n\nrevision: str = {name!r}\ndown_revision: str | None = {after!r}\n{said}'


def alembic(**files: str) -> tuple[list[dict[str, Any]], list[str]]:
    return schema.read("alembic", {f"versions/{name}.py": text for name, text in files.items()})


def row(migration: dict[str, Any], **more: Any) -> dict[str, Any]:
    noted = {"at": "2026-01-01T10:00:00Z", "release": "v1-aaaaaa", "shaped": True}
    return {**{k: migration[k] for k in ("id", "kind", "checksum")}, **noted, **more}


def had(known: list[dict[str, Any]], *ids: str, revision: str | None = None) -> dict[str, Any]:
    return {"rows": [row(m) for m in known if m["id"] in ids], "alembic": revision, "server": 170000}


def test_sql_files_are_in_the_order_of_their_numbers() -> None:
    found, problems = sql(_010_ten=ONE, _9_nine=TWO, _001_one=ONE)
    assert problems == []
    assert [m["id"] for m in found] == ["001_one", "9_nine", "010_ten"]
    assert [m["kind"] for m in found] == ["expand", "contract", "expand"]
    assert found[0]["title"] == "First."
    assert found[0]["transaction"]


def test_what_is_no_migration_is_passed_over() -> None:
    files = {"001_a.sql": ONE, "_template.sql": "x", "README.md": "x", "old/002_b.sql": "x", "versions/x.py": "x"}
    found, problems = schema.read("sql", files)
    assert ([m["file"] for m in found], problems) == (["001_a.sql"], [])
    assert schema.read("alembic", {"env.py": "x", "versions/__init__.py": "x", "versions/notes.txt": "x"}) == ([], [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT 1;", ":1: should say which it is"),
        ("SELECT 1;\n-- slipway: expand", ":1: should say which it is"),
        ("-- slipway: expand contract\nSELECT 1", ":1: should say which it is"),
        ("-- slipway: extend\nSELECT 1", ":1: `-- slipway: extend` is unknown"),
        ("-- slipway: expand\nBEGIN;\nSELECT 1;\nCOMMIT;", ":2: BEGIN is Slipway's own affair"),
        ("-- slipway: expand\nSELECT 1;\nstart transaction", ":3: START is Slipway's own affair"),
        ("-- slipway: expand\nCOPY a FROM stdin;", ":2: COPY"),
        ("-- slipway: expand\nSELECT 'a", ":2: a quote is not closed"),
        ("-- slipway: expand\n\\! true", ":2: a backslash"),
        ("-- slipway: expand\nCREATE INDEX CONCURRENTLY i ON a (b)", ":2: CONCURRENTLY needs a file of its own"),
        ("-- slipway: expand, no-transaction\nSELECT 1; SELECT 2", ":1: no-transaction is for a file of one statement"),
        ("-- slipway: expand, no-transaction\n", ":1: no-transaction is for a file of one statement, here are 0"),
        ("-- slipway: expand, no-transaction\nCREATE INDEX CONCURRENTLY i ON a (b)", ":2: needs IF NOT EXISTS"),
        ("-- slipway: contract, no-transaction\nDROP INDEX CONCURRENTLY i", ":2: needs IF EXISTS"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_of_sql(text: str, problem: str) -> None:
    _, problems = sql(_001_a=text)
    assert any(p.startswith(f"001_a.sql{problem}") for p in problems), problems


def test_names_and_numbers() -> None:
    _, problems = sql(first=ONE, _001_a=ONE, _1_b=ONE)
    assert [p.partition(":")[0] for p in problems] == ["first.sql", "1_b.sql"]


def test_a_file_outside_of_a_transaction() -> None:
    found, problems = sql(
        _001_a="-- slipway: expand no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (b);\n"
    )
    assert problems == []
    assert not found[0]["transaction"]


def test_alembic_is_one_chain() -> None:
    found, problems = alembic(b=revision("bb", "aa", "contract"), a=revision("aa", None), c=revision("cc", "bb"))
    assert problems == []
    assert [(m["id"], m["kind"]) for m in found] == [("aa", "expand"), ("bb", "contract"), ("cc", "expand")]
    assert found[0]["title"] == "Title of aa."


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"a": revision("aa", None, None)}, 'versions/a.py:3: should say which it is: `slipway = "expand"`'),
        ({"a": revision("aa", None, "both")}, "versions/a.py:5: should say which it is"),
        ({"a": "x ="}, "versions/a.py:1: "),
        ({"a": "x = 1"}, "versions/a.py:1: has no `revision`"),
        ({"a": revision("aa", None), "b": revision("bb", None)}, "versions/b.py:1: follows None, as versions/a.py does"),
        ({"a": revision("aa", "gone")}, "versions/a.py:1: follows gone, which is not in the chain"),
        ({"a": revision("aa", "bb"), "b": revision("bb", "aa")}, "versions/a.py:1: follows bb, which is not in the chain"),
        ({"a": revision("aa", None).replace("= None", "= ('x', 'y')")}, "versions/a.py:4: joins branches"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_alembic(files: dict[str, str], problem: str) -> None:
    _, problems = alembic(**files)
    assert any(p.startswith(problem) for p in problems), problems


def test_sql_that_expands_passes_by_what_contracts() -> None:
    known, _ = sql(_001_a=ONE, _002_b=TWO, _003_c=ONE)
    waits = schema.waiting("sql", known, had(known, "001_a"))
    assert [m["id"] for m in waits] == ["002_b", "003_c"]
    assert schema.blocked("sql", waits) is None
    assert [m["id"] for m in schema.due("sql", waits, "expand")] == ["003_c"]
    assert [m["id"] for m in schema.due("sql", waits, "contract")] == ["002_b"]
    assert [m["id"] for m in schema.due("sql", waits, "all")] == ["002_b", "003_c"]
    assert schema.objections("sql", known, had(known, "001_a", "003_c")) == [], "the contracting one may come later"


def test_alembics_chain_has_one_order() -> None:
    known, _ = alembic(a=revision("aa", None), b=revision("bb", "aa", "contract"), c=revision("cc", "bb"))
    waits = schema.waiting("alembic", known, had(known, revision="aa"))
    assert [m["id"] for m in waits] == ["bb", "cc"]
    behind = schema.blocked("alembic", waits)
    assert behind
    assert behind["id"] == "cc"
    assert [m["id"] for m in schema.due("alembic", waits, "contract")] == ["bb"]
    assert schema.blocked("alembic", waits[:1]) is None
    assert schema.due("alembic", waits[:1], "expand") == []
    more = schema.waiting("alembic", known, had(known))
    assert [m["id"] for m in schema.due("alembic", more, "contract")] == ["aa", "bb"], "what stands before goes along"


def test_a_database_that_is_newer_than_a_release() -> None:
    known, _ = alembic(a=revision("aa", None))
    assert schema.waiting("alembic", known, had(known, revision="zz")) == []
    one, _ = sql(_001_a=ONE)
    newer = {"rows": [row(one[0]), row({"id": "002_b", "kind": "expand", "checksum": "x"})], "alembic": None}
    assert schema.waiting("sql", one, newer) == []
    assert schema.objections("sql", one, newer) == []


@pytest.mark.parametrize("tool", ["sql", "alembic"])
def test_a_release_that_needs_an_older_shape(tool: str) -> None:
    known, _ = sql(_001_a=ONE) if tool == "sql" else alembic(a=revision("aa", None))
    state = {"rows": [row(known[0]), row({"id": "002_b", "kind": "contract", "checksum": "x"})], "alembic": "zz"}
    (words,) = schema.objections(tool, known, state)
    assert words.startswith("002_b: ")
    assert "needs the old shape" in words


def test_an_edited_file_is_named() -> None:
    known, _ = sql(_001_a=ONE)
    state = had(known, "001_a")
    assert schema.objections("sql", known, state) == []
    edited, _ = sql(_001_a=ONE.replace("bigint", "int"))
    (words,) = schema.objections("sql", edited, state)
    assert words.startswith("001_a.sql: was edited after it had been run (2026-01-01T10:00, release v1-aaaaaa)")


def test_a_number_that_comes_too_late() -> None:
    known, _ = sql(_001_a=ONE, _002_b=ONE, _003_c=ONE)
    (words,) = schema.objections("sql", known, had(known, "001_a", "003_c"))
    assert words.startswith("002_b.sql: stands before files that the database has had: give it a number after 3")
