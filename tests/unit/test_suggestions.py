"""What messages tell people to type: each `inv …` in a text of slipway/ is read with Invoke's own parser."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from invoke.exceptions import ParseError

import tasks
from tests.support import commands

GAP = "\N{REPLACEMENT CHARACTER}"
"""Stands where a text has a value put in."""
CONTEXTS = {name: context for context in tasks.namespace.to_contexts() for name in (context.name, *context.aliases)}
FILES = sorted((commands.ROOT / "slipway").rglob("*.py"))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module with their lines: docstrings, messages."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(v.value) if isinstance(v, ast.Constant) else GAP for v in node.values)
            nodes += [v for v in node.values if not isinstance(v, ast.Constant)]
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node.lineno, node.value
        else:
            nodes += ast.iter_child_nodes(node)


def suggested(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in a text; prose that goes on after it is left out."""
    for found in re.finditer(r"(?<![\w./-])inv +(--debug +)?([^\s`]+)", text):
        word, rest = found[2], re.split(r"[`\n]", text[found.end() :])[0]
        verb = "deploy" if GAP in word else word.rstrip(".,;:)")
        if re.fullmatch(r"[a-z]+(\.[a-z]+)?", verb):
            yield [verb, *(flags(verb, rest.split()) if word in (verb, GAP) else [])]


def flags(verb: str, words: list[str]) -> Iterator[str]:
    """Yield the flags with their values that the words begin with; a flag that the verb has not is yielded as well."""
    known = CONTEXTS[verb].flags if verb in CONTEXTS else {}
    while words and words[0].startswith("--"):
        flag, words = words[0].rstrip(".,;:)"), words[1:]
        yield flag
        if flag in known and known[flag].takes_value and words:
            yield words[0].rstrip(".,;:)").replace(GAP, "value")
            words = words[1:]


def test_the_reader_of_texts() -> None:
    """It finds what is wrong: otherwise this page would prove nothing."""
    text = f"or type: inv lab.down --name {GAP}; `inv {GAP} --env {GAP}` again, inv deply, then inv status. Not inventory of x"
    found = list(suggested(text))
    assert found == [["lab.down", "--name"], ["deploy", "--env", "value"], ["deply"], ["status"]]
    for words in (found[0], found[2]):
        with pytest.raises(ParseError):
            commands.parse(words)


def test_what_is_suggested_can_be_typed() -> None:
    wrong, seen = [], set()
    for path in FILES:
        for line, text in texts(path):
            for words in suggested(text):
                seen.add(words[0])
                try:
                    commands.parse(words)
                except ParseError as error:
                    wrong.append(f"{path.relative_to(commands.ROOT)}:{line}: inv {' '.join(words)}: {error}")
    assert wrong == []
    assert seen >= {"lab.down", "provision", "lock.release", "secrets.edit", "status"}
