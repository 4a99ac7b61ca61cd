"""SQL as text: where each statement begins and ends, and which words it has outside of quotes and comments. Pure.

Source: Postgres, "Lexical Structure", https://www.postgresql.org/docs/17/sql-syntax-lexical.html
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple


@functools.cache
def _token() -> re.Pattern[str]:
    """Return the pattern of a token. Compiling it takes 8 ms: who imports this reads no SQL, mostly."""
    return re.compile(
        r"""
        (?P<space>\s+|--[^\n]*)
      | (?P<comment>/\*)
      | (?P<quoted>[eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*")
      | (?P<dollar>\$(?:[A-Za-z_\x80-\uffff][A-Za-z0-9_\x80-\uffff]*)?\$)
      | (?P<open>[eE]?'|")
      | (?P<word>[A-Za-z_\x80-\uffff][A-Za-z0-9_$\x80-\uffff]*)
      | (?P<end>;)
      | (?P<other>.)
        """,
        re.VERBOSE | re.DOTALL,
    )


_COMMENT = re.compile(r"/\*|\*/")


class Statement(NamedTuple):
    """One statement: the line it begins on (from 1), its text, its words in upper case without quoted ones."""

    line: int
    text: str
    words: tuple[str, ...]


class SqlProblem(ValueError):
    """A text is no plain SQL. `line` says where."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


def statements(text: str) -> list[Statement]:
    """Return the statements of a text, without what is only space and comments.

    Raises:
        SqlProblem: a quote or a comment does not end, or there is a command of psql's own (a backslash).
    """
    found: list[Statement] = []
    words: list[str] = []
    begins, at, pattern = -1, 0, _token()
    while at < len(text):
        token = pattern.match(text, at)
        assert token  # noqa: S101 - any character matches
        kind, after = str(token.lastgroup), token.end()
        if kind == "end" and not _inside_body(words):
            if begins >= 0:
                found.append(_statement(text, begins, at, words))
            words, begins, at = [], -1, after
            continue
        if kind == "comment":
            after = _comment_end(text, at)
        elif kind == "dollar":
            after = text.find(token.group(), after) + len(token.group())
            if after < token.end():
                raise SqlProblem(_line(text, at), f"{token.group()} is not closed")
        elif kind == "open":
            raise SqlProblem(_line(text, at), "a quote is not closed")
        elif token.group() == "\\":
            raise SqlProblem(_line(text, at), "a backslash begins a command of psql, which is not SQL")
        if kind not in ("space", "comment") and begins < 0:
            begins = at
        if kind == "word":
            words.append(token.group().upper())
        at = after
    if begins >= 0:
        found.append(_statement(text, begins, len(text), words))
    return found


def _statement(text: str, begins: int, ends: int, words: list[str]) -> Statement:
    return Statement(_line(text, begins), text[begins:ends].rstrip(), tuple(words))


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _comment_end(text: str, at: int) -> int:
    """Return where a comment ends that begins at `at`; comments nest."""
    depth = 0
    for mark in _COMMENT.finditer(text, at):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    raise SqlProblem(_line(text, at), "a comment is not closed")


def _inside_body(words: list[str]) -> bool:
    """Tell whether a semicolon here ends a statement within `BEGIN ATOMIC ... END`, the body of a function."""
    for number in range(len(words) - 1):
        if words[number : number + 2] == ["BEGIN", "ATOMIC"]:
            rest = words[number + 2 :]
            return rest.count("END") <= rest.count("CASE")
    return False


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
