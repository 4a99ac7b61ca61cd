"""Migrations: the database's shape, brought to what a release expects."""

from __future__ import annotations

import subprocess
import sys

from invoke import Collection, Context, Exit

from slipway.errors import BadInput
from slipway.tasks import agreed, document, environment, out, task
from slipway.tasks.release import tell


@task(
    "env",
    "stack",
    "version",
    "plan",
    "yes",
    "format",
    contract="run those that take something away, which the live release brings; once no release needs it",
)
def migrate(
    c: Context,
    env: str = "",
    stack: str = "",
    version: str = "",
    contract: bool = False,
    plan: bool = False,
    yes: bool = False,
    format: str = "text",
) -> None:
    """Run waiting migrations that expand, without a deploy; or, with --contract, those that contract.

    A deploy runs the expanding ones by itself, before the new release takes requests. --plan shows what waits, with its SQL. More:
    docs/migrations.md.
    """
    as_json = document(format)
    from slipway import target

    where = environment(c, env)
    tell(
        target.of(where).migrate(
            where, stack or None, version or None, contract=contract, plan_only=plan, yes=agreed(yes)
        ),
        as_json,
    )


@task("env", "stack", "format")
def status(c: Context, env: str = "", stack: str = "", format: str = "text") -> int:
    """Show which migrations the database has had, which wait, and what for.

    Exits 1 where the database does not answer, or a file was edited after it had been run.
    """
    as_json = document(format)
    from slipway import target
    from slipway.watch import migrations as watch

    where = environment(c, env)
    found = target.of(where).migrate_status(where, stack or None)
    out(found if as_json else watch.text(found))
    return 0 if found["well"] else 1


@task("env", "stack", name="what it does, in a few words", contract="it takes something away (default: it only adds)")
def new(c: Context, name: str, env: str = "", stack: str = "", contract: bool = False) -> None:
    """Write the file of a new migration, numbered, from the stack's template."""
    if name in ("-h", "--help"):  # Invoke takes for the name whatever comes first
        raise Exit(code=subprocess.call([sys.executable, sys.argv[0], "--help", "migrate.new"]))
    if name.startswith("-"):
        raise BadInput(f"{name} is no name of a migration", todo="inv migrate.new --name books_have_pages")
    from slipway.data import migrations
    from slipway.settings import load

    _, _, found = load.load(environment(c, env), stack or None)
    out(str(migrations.new(found, name, contract=contract).relative_to(load.root())))


collection = Collection("migrate", status, new)
collection.add_task(migrate, name="run", default=True)
