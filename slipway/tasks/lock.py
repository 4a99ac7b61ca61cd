"""The deploy lock: who has it; freeze deploys, end the freeze."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.tasks import environment, out, task


@task("env", "stack")
def show(c: Context, env: str = "", stack: str = "") -> None:
    """Show who is deploying, since when, or whether deploys are frozen."""
    from slipway.target.compose import verbs

    out(verbs.lock_show(environment(c, env), stack or None))


@task("env", "stack", message="why; shown to whoever tries to deploy")
def acquire(c: Context, message: str, env: str = "", stack: str = "") -> None:
    """Freeze deploys and rollbacks until `lock.release`; needs --message."""
    from slipway.target.compose import verbs

    out(verbs.lock_freeze(environment(c, env), stack or None, message))


@task("env", "stack")
def release(c: Context, env: str = "", stack: str = "") -> None:
    """End a freeze of deploys."""
    from slipway.target.compose import verbs

    out(verbs.lock_freeze(environment(c, env), stack or None, None))


collection = Collection("lock", show, acquire, release)
