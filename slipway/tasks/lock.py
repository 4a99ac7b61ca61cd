"""The deploy lock: who has it; freeze deploys, end the freeze."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.errors import BadInput
from slipway.tasks import environment, out, task


@task("env", "stack")
def show(c: Context, env: str = "", stack: str = "") -> None:
    """Show who is deploying, since when, or whether deploys are frozen."""
    from slipway import target

    where = environment(c, env)
    out(target.of(where).lock_show(where, stack or None))


@task("env", "stack", message="why; shown to whoever tries to deploy")
def acquire(c: Context, message: str = "", env: str = "", stack: str = "") -> None:
    """Freeze deploys and rollbacks until `lock.release`; needs --message."""
    from slipway import target

    if not message.strip():
        raise BadInput("a freeze needs a reason", todo='inv lock.acquire -m "why"; inv lock.release ends a freeze')
    where = environment(c, env)
    out(target.of(where).lock_freeze(where, stack or None, message))


@task("env", "stack")
def release(c: Context, env: str = "", stack: str = "") -> None:
    """End a freeze of deploys."""
    from slipway import target

    where = environment(c, env)
    out(target.of(where).lock_freeze(where, stack or None, None))


collection = Collection("lock", show, acquire, release)
