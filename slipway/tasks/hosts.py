"""Hosts: provisioned with Ansible, verified with Testinfra."""

from __future__ import annotations

from invoke import Context

from slipway.tasks import agreed, environment, out, task


@task("env", "stack", "plan", "yes")
def provision(c: Context, env: str = "", stack: str = "", plan: bool = False, yes: bool = False) -> None:
    """Make bare hosts ready: users, SSH, Docker, firewall, timers; then verify them.

    Can be repeated: what is as it should be is left alone, what was changed by hand is put back. See docs/hosts.md.
    """
    from slipway import target

    where = environment(c, env)
    for line in target.of(where).provision(where, stack or None, plan_only=plan, yes=agreed(yes)):
        out(line)


@task("env", "stack", step="one suite: provision, deploy, migrate, rollback, logs (default: all that apply)")
def verify(c: Context, env: str = "", stack: str = "", step: str = "") -> None:
    """Look whether what should be true of the hosts is true, with Testinfra."""
    from slipway import target

    where = environment(c, env)
    target.of(where).verify(where, stack or None, step or None)
