"""The migrations of a stack as values: read from their files, and which of them are to be run. Pure.

Two kinds of folders are known. `sql`: files `NNN_name.sql`, in the order of their numbers; a comment at the head says what each
is: `-- slipway: expand` or `-- slipway: contract`, with `no-transaction` besides where it can't run in one. `alembic`: files
`versions/*.py`, one chain; a variable of the module says it: `slipway = "expand"`.

*Expanding* ones only add: the release that serves goes on with the new shape. *Contracting* ones take something away.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from .sqltext import SqlProblem, Statement, statements

EXPAND, CONTRACT = "expand", "contract"
TABLE = "public.slipway_migrations"
"""Where a database tells which migrations it has had."""

Migration = dict[str, Any]
"""`id` (SQL: the file's name without its end; Alembic: the revision), `file`, `title`, `kind`, `checksum`, and of SQL
`sql`, `transaction`."""

_HEAD = re.compile(r"^--\s*slipway:(.*)$")
_NAME = re.compile(r"(\d+)[_-][A-Za-z0-9_.-]+\.sql")
_CONTROL = {"BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"}


def relevant(tool: str, name: str) -> bool:
    """Tell whether a file of a folder of migrations (its path there) is one."""
    path = PurePosixPath(name)
    if path.name.startswith(("_", ".")):
        return False
    if tool == "sql":
        return path.suffix == ".sql" and path.parent == PurePosixPath()
    return path.suffix == ".py" and path.parent == PurePosixPath("versions")


def read(tool: str, files: Mapping[str, str]) -> tuple[list[Migration], list[str]]:
    """Return the migrations of a folder in their order, and what is wrong with the files (`file:line: words`).

    Args:
        tool: `sql` or `alembic`.
        files: text by path in the folder; those that are no migrations are passed over.
    """
    problems: list[str] = []
    mine = {name: text for name, text in sorted(files.items()) if relevant(tool, name)}
    one = _sql if tool == "sql" else _alembic
    found = [m for name, text in mine.items() if (m := one(name, text, problems))]
    return (_numbered if tool == "sql" else _chained)(found, problems), problems


def checksum(text: str) -> str:
    """Return the SHA-256 of a file's text (hex)."""
    return hashlib.sha256(text.encode()).hexdigest()


def _sql(name: str, text: str, problems: list[str]) -> Migration | None:
    if not _NAME.fullmatch(name):
        problems.append(f"{name}:1: should be called NNN_what_it_does.sql: a number gives the order")
        return None
    head = _head(text)
    said = {word for _, words in head for word in words}
    kinds = said & {EXPAND, CONTRACT}
    line = head[0][0] if head else 1
    odd = sorted(said - {EXPAND, CONTRACT, "no-transaction"})
    problems += [f"{name}:{line}: `-- slipway: {w}` is unknown: expand, contract, no-transaction" for w in odd]
    if len(kinds) != 1:
        problems.append(
            f"{name}:{line}: should say which it is at its head: `-- slipway: expand` or `-- slipway: contract`"
        )
    alone = "no-transaction" in said
    try:
        parts = statements(text)
    except SqlProblem as problem:
        problems.append(f"{name}:{problem.line}: {problem.what}")
        return None
    problems += [f"{name}:{at}: {fault}" for at, fault in _faults(parts, alone)]
    titles = [t for t in _comments(text) if not t.startswith("slipway:")]
    return {
        "id": name[: -len(".sql")], "file": name, "title": titles[0] if titles else "", "checksum": checksum(text),
        "kind": kinds.pop() if len(kinds) == 1 else "", "transaction": not alone, "sql": text,
    }  # fmt: skip


def _comments(text: str) -> list[str]:
    """Return the comments that a file begins with, one a line."""
    found = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("--"):
            break
        found.append(line.strip().lstrip("-").strip())
    return [line for line in found if line]


def _head(text: str) -> list[tuple[int, list[str]]]:
    """Return line and words of each `-- slipway:` before the first statement."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("--"):
            break
        match = _HEAD.match(line.strip())
        if match:
            found.append((number, match.group(1).replace(",", " ").split()))
    return found


def _faults(parts: Sequence[Statement], alone: bool) -> list[tuple[int, str]]:
    """Return line and words for what Slipway can't run whole or not at all, and again after it was killed."""
    found = []
    for part in parts:
        words = part.words
        first = words[0] if words else ""
        if first in _CONTROL or words[:2] in (("START", "TRANSACTION"), ("PREPARE", "TRANSACTION")):
            found.append((part.line, f"{first} is Slipway's own affair: it runs a file in one transaction"))
        if first == "COPY" and "STDIN" in words:
            found.append((part.line, "COPY ... FROM STDIN is no plain SQL: use INSERT"))
        if "CONCURRENTLY" in words and not alone and first in ("CREATE", "DROP", "REINDEX"):
            found.append(
                (part.line, "CONCURRENTLY needs a file of its own that says `-- slipway: ..., no-transaction`")
            )
    if alone and len(parts) != 1:
        found.append(
            (1, f"no-transaction is for a file of one statement, here are {len(parts)}: they could not be undone")
        )
    elif alone and parts[0].words[:1] in (("CREATE",), ("DROP",)) and "EXISTS" not in parts[0].words:
        needs = "needs IF NOT EXISTS" if parts[0].words[0] == "CREATE" else "needs IF EXISTS"
        found.append((parts[0].line, f"{needs}: outside of a transaction it may have to be run again"))
    return found


def _numbered(found: list[Migration], problems: list[str]) -> list[Migration]:
    taken: dict[int, str] = {}
    for migration in found:
        number = int(re.match(r"\d+", migration["file"]).group())  # type: ignore[union-attr]  # its name was looked at
        if number in taken:
            problems.append(f"{migration['file']}:1: {taken[number]} has the number {number} already")
        taken[number] = migration["file"]
        migration["number"] = number
    return sorted(found, key=lambda m: int(m["number"]))


def _alembic(name: str, text: str, problems: list[str]) -> Migration | None:
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        problems.append(f"{name}:{error.lineno}: {error.msg}")
        return None
    values, lines = _assigned(tree)
    if not isinstance(values.get("revision"), str):
        problems.append(f"{name}:1: has no `revision`")
        return None
    if values.get("slipway") not in (EXPAND, CONTRACT):
        line = lines.get("slipway", lines["revision"])
        problems.append(f'{name}:{line}: should say which it is: `slipway = "expand"` or `slipway = "contract"`')
    down = values.get("down_revision")
    if down is not None and not isinstance(down, str):
        problems.append(f"{name}:{lines['down_revision']}: joins branches: Slipway takes one chain of revisions")
        return None
    title = (ast.get_docstring(tree) or "").strip().splitlines()
    return {
        "id": values["revision"], "file": name, "title": title[0] if title else "", "checksum": checksum(text),
        "kind": values.get("slipway") if values.get("slipway") in (EXPAND, CONTRACT) else "", "after": down,
    }  # fmt: skip


def _assigned(tree: ast.Module) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the literal values that a module gives to names at its top, and the lines."""
    values, lines = {}, {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name):
            lines[target.id] = node.lineno
            try:
                values[target.id] = ast.literal_eval(value)
            except ValueError:
                values[target.id] = ...
    return values, lines


def _chained(found: list[Migration], problems: list[str]) -> list[Migration]:
    after: dict[Any, Migration] = {}
    for migration in found:
        if migration["after"] in after:
            problems.append(
                f"{migration['file']}:1: follows {migration['after']}, as {after[migration['after']]['file']} does"
            )
        after.setdefault(migration["after"], migration)
    ordered: list[Migration] = []
    while (following := after.get(ordered[-1]["id"] if ordered else None)) and following not in ordered:
        ordered.append(following)
    for migration in found:
        if migration not in ordered and not problems:
            problems.append(f"{migration['file']}:1: follows {migration['after']}, which is not in the chain")
    return ordered


def had(tool: str, known: Sequence[Migration], state: Mapping[str, Any]) -> set[str]:
    """Return the ids of the known migrations that a database has had.

    Args:
        tool: `sql` or `alembic`.
        known: the migrations of a release.
        state: what the database says: `rows` of its table, `alembic`: its revision, None before the first.
    """
    ids = [m["id"] for m in known]
    if tool == "sql":
        return {row["id"] for row in state["rows"]} & set(ids)
    revision = state["alembic"]
    # A revision that is not known here is newer than all of them.
    return set(ids[: ids.index(revision) + 1] if revision in ids else ids if revision else [])


def objections(tool: str, known: Sequence[Migration], state: Mapping[str, Any]) -> list[str]:
    """Return why this release can't be brought together with a database: edited files, an old shape, a late number."""
    found = []
    mine = {m["id"]: m for m in known}
    for row in state["rows"]:
        migration = mine.get(row["id"])
        if migration is None:
            if row["kind"] == CONTRACT:
                words = "the database has had that contracting migration, and this version does not know it: it needs the old shape"
                found.append(f"{row['id']}: {words}")
        elif tool == "sql" and migration["checksum"] != row["checksum"]:
            at, release = row.get("at", "")[:16], row.get("release")
            words = f"was edited after it had been run ({at}, release {release}): put it back, and write a new file"
            found.append(f"{migration['file']}: {words}")
    if tool == "sql":
        found += _late(known, had(tool, known, state))
    return found


def _late(known: Sequence[Migration], applied: set[str]) -> list[str]:
    """Return words for files that stand before one that was run. Contracting ones may: they wait."""
    last = max((m["number"] for m in known if m["id"] in applied and m["kind"] == EXPAND), default=-1)
    late = [m for m in known if m["id"] not in applied and m["kind"] == EXPAND and m["number"] < last]
    return [f"{m['file']}: stands before files that the database has had: give it a number after {last}" for m in late]


def waiting(tool: str, known: Sequence[Migration], state: Mapping[str, Any]) -> list[Migration]:
    """Return the migrations that a database has not had, in their order."""
    applied = had(tool, known, state)
    return [m for m in known if m["id"] not in applied]


def blocked(tool: str, waits: Sequence[Migration]) -> Migration | None:
    """Return the first expanding migration that can't run before a contracting one has: Alembic's are one chain."""
    if tool == "sql":
        return None
    contracts = False
    for migration in waits:
        if contracts and migration["kind"] == EXPAND:
            return migration
        contracts = contracts or migration["kind"] == CONTRACT
    return None


def behind(tool: str, waits: Sequence[Migration]) -> list[str]:
    """Return words for the first expanding migration that can't run before a contracting one has; none where there is none."""
    late = blocked(tool, waits)
    if not late:
        return []
    first = next(m for m in waits if m["kind"] == CONTRACT)
    words = f"stands behind {first['file']}, which contracts and has not been run: run that, or put this one before it"
    return [f"{late['file']}: {words}"]


def due(tool: str, waits: Sequence[Migration], which: str) -> list[Migration]:
    """Return those of the waiting migrations that are to be run now.

    Args:
        tool: `sql` or `alembic`.
        waits: from `waiting`.
        which: `expand`, `contract`, or `all`: both, in their order.
    """
    if which == "all":
        return list(waits)
    if which == EXPAND or tool == "sql":
        return [m for m in waits if m["kind"] == which]
    # A chain: what expands before the last contracting one goes along.
    last = max((number for number, m in enumerate(waits) if m["kind"] == CONTRACT), default=-1)
    return list(waits[: last + 1])
