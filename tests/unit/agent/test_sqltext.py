"""SQL as text: statements, quotes, comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.agent.sqltext import SqlProblem, literal, statements


def test_statements_with_their_lines() -> None:
    text = (
        "-- a comment; not a statement\n\nSELECT 1;\n/* nor /* this; */ one */\nUPDATE a\nSET b = 2 ;;\nDELETE FROM c"
    )
    found = statements(text)
    assert [(s.line, s.text) for s in found] == [(3, "SELECT 1"), (5, "UPDATE a\nSET b = 2"), (7, "DELETE FROM c")]
    assert found[1].words == ("UPDATE", "A", "SET", "B")


@pytest.mark.parametrize(
    "quoted",
    [
        "'a; COMMIT; b'", "'it''s; one'", r"E'it\'s; one'", '"odd; name"', '"a "";"" b"', "$$ ; COMMIT; $$",
        "$body$ BEGIN; $$ END; $body$", r"'C:\dir;'", "1 -- ; COMMIT\n", "1 /* ; */", "U&'\\0041;'", "B'01;'",
    ],
)  # fmt: skip
def test_a_semicolon_in_quotes_ends_nothing(quoted: str) -> None:
    found = statements(f"SELECT {quoted}; SELECT 2")
    assert [s.text for s in found] == [f"SELECT {quoted}".rstrip(), "SELECT 2"]
    assert "COMMIT" not in found[0].words


def test_the_body_of_a_function_is_one_statement() -> None:
    body = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END"
    assert [s.text for s in statements(f"{body}; SELECT 2;")] == [body, "SELECT 2"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("SELECT 1;\nSELECT 'a;\n", 2, "a quote is not closed"),
        ('SELECT "a', 1, "a quote is not closed"),
        ("\n\nSELECT $x$ a $y$", 3, "$x$ is not closed"),
        ("/* /* */\nSELECT 1", 1, "a comment is not closed"),
        ("SELECT 1;\n\\i other.sql", 2, "a command of psql"),
    ],
)
def test_what_is_no_sql(text: str, line: int, words: str) -> None:
    with pytest.raises(SqlProblem, match=words.replace("$", r"\$")) as caught:
        statements(text)
    assert caught.value.line == line


@given(st.text())
def test_any_text_is_read_to_its_end_or_refused(text: str) -> None:
    try:
        found = statements(text)
    except SqlProblem as problem:
        assert 1 <= problem.line <= text.count("\n") + 1
    else:
        assert all(s.text in text for s in found)


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_a_literal_is_one_quoted_text(text: str) -> None:
    (found,) = statements(f"SELECT {literal(text)}")
    assert found.text == f"SELECT {literal(text)}"
    assert found.words == ("SELECT",)
