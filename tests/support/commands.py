"""Commands of this repository as pages and workflows write them, read with Invoke's own parser."""

from __future__ import annotations

import copy
import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from invoke import Program
from invoke.parser import ParserContext

import tasks

ROOT = Path(__file__).resolve().parents[2]
VERBS = frozenset(n for task in tasks.namespace.to_contexts() for n in (task.name, *task.aliases))
"""Every task as one types it: `deploy`, `lab.up`; that of a group by the group's name as well."""

_CALL = re.compile(r"^(?:\$ )?(?:\./|\.venv/bin/)?inv (?P<words>.+)$")


def parse(words: list[str]) -> list[str]:
    """Return the tasks that `inv <words>` runs. Raise invoke's ParseError where it would refuse them."""
    return list(_parsed(tuple(words)))


@functools.cache
def _contexts() -> list[ParserContext]:
    return list(tasks.namespace.to_contexts())


@functools.cache
def _parsed(words: tuple[str, ...]) -> tuple[str, ...]:
    # Invoke copies the parsers of all tasks each time: it gets those that are named.
    named = [context for context in _contexts() if {context.name, *context.aliases} & set(words)]
    narrowed = copy.copy(tasks.namespace)
    narrowed.to_contexts = lambda *_, **__: named  # type: ignore[method-assign]
    program = Program(namespace=narrowed, name="inv", binary="inv")
    program.create_config()
    program.parse_core(["inv", *words])
    program.parse_collection()
    program.parse_tasks()
    return tuple(task.name for task in program.tasks)


def calls(script: str) -> Iterator[list[str]]:
    """Yield the words of each call of `inv` in a shell script or a console transcript, without comments."""
    for line in script.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\|\||;|\|", line.strip().removeprefix("exec ")):
            found = _CALL.match(command.strip())
            if found:
                yield shlex.split(found["words"], comments=True)
