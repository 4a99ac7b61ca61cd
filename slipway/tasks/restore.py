"""Restores: what a backup holds, back in place or beside it."""

from __future__ import annotations

from invoke import Context

from slipway.tasks import agreed, document, environment, out, task


@task(
    "env",
    "stack",
    "plan",
    "format",
    snapshot="backup to restore, see backup.list: the beginning of its id, or latest",
    only="a service, more with commas: only its data (default: all that the backup holds)",
    into="restore beside what is there, under this name: a database, and a volume for files and Redis",
    yes="agree to replacing the data (in a pipeline)",
    safety="make a safety snapshot of what is there first (--no-safety: where none can be made)",
)
def restore(
    c: Context,
    env: str = "",
    stack: str = "",
    snapshot: str = "latest",
    only: str = "",
    into: str = "",
    plan: bool = False,
    safety: bool = True,
    yes: bool = False,
    format: str = "text",
) -> None:
    """Put what a backup holds in the place of what is there, or beside it.

    It is loaded beside what serves and compared with its manifest; then the apps stop, what is there is saved, the data are
    swapped, and the apps start again. Interrupted anywhere, type it again. docs/data.md tells the whole story.
    """
    as_json = document(format)
    from slipway.data import restore as data

    services = tuple(s.strip() for s in only.split(",") if s.strip())
    wanted = data.Wanted(snapshot, services, into, yes, safety)
    found = data.restore(environment(c, env), stack or None, wanted, plan_only=plan, yes=agreed(yes))
    out(found.document() if as_json else found.text())
