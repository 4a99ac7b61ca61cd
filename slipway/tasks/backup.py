"""Backups: what a stack keeps, in a restic repository, each proven before it counts."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.tasks import agreed, document, environment, out, task

_FLAGS = ("env", "stack", "format")


@task(
    *_FLAGS,
    "yes",
    only="a service, more with commas: only its data (default: all that the stack keeps)",
    any_size="accept data that is much smaller than in the last backup",
)
def backup(
    c: Context,
    env: str = "",
    stack: str = "",
    only: str = "",
    any_size: bool = False,
    yes: bool = False,
    format: str = "text",
) -> None:
    """Back up what the stack keeps: databases, files, the environment's own configuration.

    It counts once it has been read back, checked, and stored with its manifest. The host does the same by its timer. Exits 1
    where it failed, or a copy did; 3 where another backup is at work. docs/data.md tells more.
    """
    as_json = document(format)
    from slipway.data import backup as data

    services = [s.strip() for s in only.split(",") if s.strip()]
    told = data.backup(environment(c, env), stack or None, services, any_size=any_size, yes=agreed(yes))
    made = told["set"]
    out(told if as_json else f"backup {made['id']}: {data.size(made['bytes'])} in {len(made['parts'])} parts")


@task(*_FLAGS)
def list_backups(c: Context, env: str = "", stack: str = "", format: str = "text") -> None:
    """List the backups that can be restored, newest first."""
    as_json = document(format)
    from slipway.data import backup as data

    found = data.listed(environment(c, env), stack or None)
    out(found["sets"] if as_json else data.text(found))


@task("env", "stack", read_data="read all data, not only what says where it is")
def check(c: Context, env: str = "", stack: str = "", read_data: bool = False) -> None:
    """Check the repository and each backup's manifest. Exits 1 where something is damaged."""
    from slipway.data import backup as data

    found = data.check(environment(c, env), stack or None, read_data=read_data)
    out(f"{found['sets']} backups are whole" + (f"; {found['half']} parts of none" if found["half"] else ""))


@task("env", "stack")
def prune(c: Context, env: str = "", stack: str = "") -> None:
    """Remove backups that are kept no longer, and free their space. Each backup does it by itself."""
    from slipway.data import backup as data

    found = data.prune(environment(c, env), stack or None)
    out(f"{len(found['pruned'])} removed, {found['left']} kept")


@task("env", "stack")
def unlock(c: Context, env: str = "", stack: str = "") -> None:
    """Remove locks that killed runs left in the repository. Each backup removes its own host's by itself."""
    from slipway.data import backup as data

    removed = data.unlock(environment(c, env), stack or None)["removed"]
    out(f"removed: {', '.join(removed)}" if removed else "there was no stale lock")


@task(*_FLAGS)
def drill(c: Context, env: str = "", stack: str = "", format: str = "text") -> int:
    """Prove that the newest backup restores: into throw-away containers, compared, the stack's own api asked.

    Exits 1, loudly, where it is not good. The evidence is in the ledger; the host does the same each week by its timer.
    """
    as_json = document(format)
    from slipway.data import drill as data

    told = data.drill(environment(c, env), stack or None)
    out(told if as_json else data.text(told))
    return 0 if told["verdict"] == "good" else 1


collection = Collection("backup", check, drill, prune, unlock)
collection.add_task(backup, name="now", default=True)
collection.add_task(list_backups, name="list")
