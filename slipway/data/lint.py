"""Linting migrations: a program, `python -m slipway.data.lint`, which prints what locks or breaks, and exits 1 where it found some.

The rules are squawk's (https://squawkhq.com/docs/rules), but for those about style, and those that Slipway's way of running
migrations answers: timeouts are set, files run in a transaction. What takes something away is found in expanding migrations
only. Of Alembic's the SQL is linted that Alembic makes without a database.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from slipway.agent import schema
from slipway.agent.schema import Migration
from slipway.data import migrations
from slipway.process import run

BREAKING = (
    "adding-not-nullable",
    "adding-required",
    "ban-drop",
    "ban-set-schema",
    "ban-truncate",
    "changing-",
    "renaming-",
)
"""How rules begin against what a release that serves would not survive: a contracting migration is there for just that."""
NOT_OURS = (
    "ban-char-field",
    "prefer-",
    "require-lock-timeout",
    "require-statement-timeout",
    "require-timeout-settings",
)
"""How rules begin about style, and about what Slipway does itself."""
_ROOT = Path(__file__).parents[2]


def findings(root: Path = _ROOT) -> tuple[list[str], list[str]]:
    """Return what is wrong with the migrations of the stacks of a checkout, `file:line: words`, and what could not be linted."""
    found: list[str] = []
    uncovered: list[str] = []
    for where, tool in _folders(root):
        shown = str(where.relative_to(root))
        known, problems = schema.read(tool, migrations.texts(where))
        found += [f"{shown}/{problem}" for problem in problems]
        if problems or not known:
            continue
        sql = migrations.sql(tool, where, known)
        for migration in known:
            if sql[migration["id"]].startswith("-- unknown:"):
                uncovered.append(f"{shown}/{migration['file']}: its SQL is not known: {sql[migration['id']][12:]}")
            else:
                found += _linted(tool, where, shown, migration, sql[migration["id"]])
    return found, uncovered


def _folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folders of migrations that stacks have, with their tools. What is wrong with a stack file others tell."""
    for file in sorted(root.glob("compose/*/compose.yaml")):
        stack: Any = yaml.safe_load(file.read_text()) or {}
        said = (stack.get("x-slipway") or {}).get("migrate") or {}
        if said.get("kind") in ("sql", "alembic") and (file.parent / str(said.get("path"))).is_dir():
            yield file.parent / said["path"], said["kind"]


def _linted(tool: str, where: Path, shown: str, migration: Migration, sql: str) -> Iterator[str]:
    alone = not migration.get("transaction", True)
    argv = [str(Path(sys.executable).parent / "squawk"), "--reporter", "json", "--pg-version", "17"]
    argv += ["--stdin-filepath", migration["file"], *([] if alone else ["--assume-in-transaction"])]
    text = migration["sql"] if tool == "sql" else sql
    done = run(argv, stdin=text, check=False, cwd=where)
    try:
        told: Sequence[Mapping[str, Any]] = json.loads(done.out or "[]")
    except ValueError:
        yield f"{shown}/{migration['file']}:1: squawk can't read it: {done.tail(2)}"
        return
    for one in told:
        rule = one["rule_name"]
        breaks = rule.startswith(BREAKING)
        if rule.startswith(NOT_OURS) or (breaks and migration["kind"] == schema.CONTRACT):
            continue
        line = f":{one['line'] + 1}" if tool == "sql" else ""
        why = " An expanding migration leaves what serves as it is: this one contracts." if breaks else ""
        how = f" {one['help'].rstrip('.')}." if one.get("help") else ""
        yield f"{shown}/{migration['file']}{line}: {rule}: {one['message'].rstrip('.')}.{how}{why}"


if __name__ == "__main__":
    bad, unknown = findings()
    for text in [*bad, *(f"not linted: {text}" for text in unknown)]:
        print(text)
    sys.exit(1 if bad else 0)
