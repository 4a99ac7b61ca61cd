"""Accessories: databases and caches, which a deploy never touches."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.tasks import agreed, environment, out, task


@task("env", "stack", "plan", "yes")
def apply(c: Context, env: str = "", stack: str = "", plan: bool = False, yes: bool = False) -> None:
    """Make databases and caches what the stack file says; tell how long they were away.

    Those that differ restart. --plan shows which.
    """
    from slipway import target

    where = environment(c, env)
    for line in target.of(where).accessory_apply(where, stack or None, plan_only=plan, yes=agreed(yes)):
        out(line)


collection = Collection("accessory", apply)
