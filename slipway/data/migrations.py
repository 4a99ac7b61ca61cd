"""The migrations of a stack as this tree has them: read, with the SQL that they will run; a new one."""

from __future__ import annotations

import datetime
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway.agent import psql, schema
from slipway.agent.schema import Migration
from slipway.errors import BadInput, SlipwayError
from slipway.process import run
from slipway.settings.model import Migration as Settings
from slipway.settings.model import Stack

_SQL = """\
-- {title}
-- slipway: {kind}
--
-- {words}
-- Slipway runs the whole file in one transaction. A statement that can't run in one gets a file of its own, which says
-- `-- slipway: {kind}, no-transaction`.
"""
_WORDS = {
    "expand": "It only adds: the release that serves goes on with the new shape.",
    "contract": "It takes something away, once no release needs it: inv migrate --contract.",
}


def folder(stack: Stack) -> Path:
    """Return the folder of a stack's migrations. The stack has some."""
    assert stack.migrate  # noqa: S101 - the caller looked
    return Path(stack.folder) / stack.migrate.path


def texts(where: Path) -> dict[str, str]:
    """Return the files of a folder of migrations, text by path there."""
    files = [*where.glob("*.sql"), *where.glob("versions/*.py")]
    return {str(f.relative_to(where)): f.read_text(encoding="utf-8", errors="replace") for f in files}


def read(stack: Stack) -> list[Migration]:
    """Return this tree's migrations in their order; none for a stack that brings a tool of its own.

    Raises:
        BadInput: files are wrong, each with file:line.
    """
    if not stack.migrate or stack.migrate.kind == "command":
        return []
    found, problems = schema.read(stack.migrate.kind, texts(folder(stack)))
    if problems:
        shown = f"compose/{stack.name}/{stack.migrate.path}"
        words = "\n".join(f"{shown}/{problem}" for problem in problems)
        raise BadInput("migrations are not as they should be", where=shown, seen=words, todo="correct them")
    return found


def names(stack: Stack) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of this tree's migrations in their order, and of those that contract. Raises as `read`."""
    if not stack.migrate:
        return (), ()
    if stack.migrate.kind == "command":
        found = (Path(name).name for name in texts(folder(stack)))
        return tuple(sorted(name for name in found if not name.startswith("_"))), ()
    known = [(Path(m["file"]).name, m["kind"]) for m in read(stack)]
    return tuple(n for n, _ in known), tuple(n for n, kind in known if kind == schema.CONTRACT)


def sql(tool: str, where: Path, wanted: Sequence[Migration]) -> dict[str, str]:
    """Return the SQL of migrations by id, as far as it is known before they run.

    Alembic's is made by Alembic itself, offline: a migration that asks the database for something, or needs the app's own
    packages, has a comment that says why its SQL is not known.
    """
    if tool == "sql" or not wanted:
        return {m["id"]: m["sql"].strip() for m in wanted}
    names = [str(where / m["file"]) for m in wanted]
    done = run([sys.executable, "-m", "slipway.data.offline", *names], cwd=Path(__file__).parents[2], check=False)
    if done.code != 0:
        raise SlipwayError("Alembic can't be asked for its SQL", where=str(where), seen=done.tail())
    told: dict[str, str] = json.loads(done.out)
    return {m["id"]: told[name].strip() for m, name in zip(wanted, names, strict=True)}


def run_here(stack: Stack, ask: Callable[[Sequence[str], str], str]) -> None:
    """Run the waiting migrations in SQL where one developer works: without limits of time, retries or a second look.

    Args:
        stack: the stack.
        ask: has a command in the database's container read a text, and returns what it printed; raises SlipwayError.

    Raises:
        BadInput: the files are wrong, or do not go with the database.
    """
    known = read(stack)
    ask([*psql.PSQL, "-f", "-"], psql.TABLE)
    state = psql.read_state(ask([*psql.PSQL, "-f", "-"], psql.STATE))
    problems = schema.objections("sql", known, state)
    if problems:
        shown = f"compose/{stack.name}/{stack.migrate.path if stack.migrate else ''}"
        raise BadInput("the migrations do not go with the database", where=shown, seen="\n".join(problems))
    for migration in schema.waiting("sql", known, state):
        whole = migration["transaction"]
        text = (
            psql.in_transaction(migration, "development")
            if whole
            else psql.outside_transaction(migration, "development")
        )
        ask([*psql.PSQL, *(["-c", "BEGIN"] if whole else []), "-f", "-"], text)


def new(stack: Stack, name: str, *, contract: bool) -> Path:
    """Write the file of a new migration, the last one of its folder, and return its path.

    A template in the stack's own folder has the word: `script.py.mako` (Alembic's), or `_template.sql` with `{title}`, `{kind}`.

    Raises:
        BadInput: the stack has none, its tool is its own, the name has no letters, or the files that are there are wrong.
    """
    settings = required(stack)
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60]
    if not slug:
        raise BadInput(f"{name!r} is no name for a migration", todo="say in a few words what it does")
    known, kind = read(stack), schema.CONTRACT if contract else schema.EXPAND
    return (_new_sql if settings.kind == "sql" else _new_alembic)(folder(stack), known, slug, name, kind)


def required(stack: Stack) -> Settings:
    """Return the stack's settings of migrations. Raise BadInput where Slipway knows none, or knows nothing of them."""
    where = f"compose/{stack.name}/compose.yaml"
    if not stack.migrate:
        todo = "x-slipway.migrate says how its database gets to the release's shape: docs/migrations.md"
        raise BadInput(f"stack {stack.name} has no migrations", where=where, todo=todo)
    if stack.migrate.kind == "command":
        what = (
            f"the migrations of {stack.name} are run by a tool of its own, of which Slipway knows too little for this"
        )
        raise BadInput(what, where=where, todo="x-slipway.migrate.kind: sql or alembic (docs/migrations.md)")
    return stack.migrate


def how(stack: Stack) -> dict[str, Any]:
    """Return what whoever runs them needs to know of a stack's migrations, SQL or Alembic's (see `slipway.agent.migrate`)."""
    migrate = stack.migrate
    assert migrate and migrate.kind != "command"  # noqa: S101 - the caller looked
    build = stack.service(migrate.service).build
    below = os.path.relpath(f"{stack.folder}/{migrate.path}", build.context) if build else "."
    return {
        "tool": migrate.kind,
        "service": migrate.service,
        "folder": migrate.inside or below,
        "database": migrate.database,
        "command": list(migrate.command) or ["alembic"],
        "lock_timeout": migrate.lock_timeout,
        "statement_timeout": migrate.statement_timeout,
    }


def _new_sql(where: Path, known: Sequence[Migration], slug: str, title: str, kind: str) -> Path:
    last = known[-1]["file"] if known else "000_"
    digits = re.match(r"\d+", last)
    width = len(digits.group()) if digits else 3
    number = str((known[-1]["number"] if known else 0) + 1).zfill(width)
    template = where / "_template.sql"
    text = template.read_text() if template.exists() else _SQL
    values = {"title": title.replace("\n", " "), "kind": kind, "words": _WORDS[kind]}
    file = where / f"{number}_{slug}.sql"
    file.write_text(re.sub(r"\{(title|kind|words)\}", lambda m: values[m.group(1)], text) + "\n")
    return file


def _new_alembic(where: Path, known: Sequence[Migration], slug: str, title: str, kind: str) -> Path:
    from mako.template import Template

    last: str | None = known[-1]["id"] if known else None
    numbered = last is None or last.isdigit()
    revision = str(int(last or 0) + 1).zfill(len(last or "0000")) if numbered else _random_revision()
    template = where / "script.py.mako"
    if not template.exists():
        raise BadInput("Alembic's template is not there", where=str(template), todo="`alembic init` makes one")
    values: Mapping[str, Any] = {
        "message": title, "up_revision": revision, "down_revision": last, "branch_labels": None, "depends_on": None,
        "create_date": datetime.datetime.now(), "imports": "", "upgrades": "", "downgrades": "", "comma": _comma,
    }  # fmt: skip
    text = str(Template(filename=str(template)).render(**values))  # noqa: S702 - it writes Python
    said = f'slipway = "{kind}"'
    if re.search(r"^slipway\b.*=", text, re.M):
        text = re.sub(r"^slipway\b[^=\n]*=.*$", said, text, count=1, flags=re.M)
    else:
        text = re.sub(r"^(down_revision\b.*)$", rf"\1\n{said}", text, count=1, flags=re.M)
    file = where / "versions" / f"{revision}_{slug}.py"
    file.write_text(text if text.endswith("\n") else text + "\n")
    return file


def _comma(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value or "")


def _random_revision() -> str:
    import uuid

    return uuid.uuid4().hex[-12:]
