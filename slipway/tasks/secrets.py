"""Secrets: encrypted in the repo (Ansible Vault), given to services at run time."""

from __future__ import annotations

from invoke import Collection, Context

from slipway.tasks import environment, out, task


@task("env")
def init(c: Context, env: str = "") -> None:
    """Give each secret that has no value yet a random one; change none."""
    from slipway.settings import load, secrets

    done = secrets.init(load.environment(environment(c, env)))
    out(f"{done.file}: {len(done.made)} values made" + (f" ({', '.join(done.made)})" if done.made else ""))
    for name in done.to_enter:
        out(f"still to be entered with inv secrets.edit --env {environment(c, env)}: {name}")


@task("env")
def edit(c: Context, env: str = "") -> None:
    """Open the secrets in $EDITOR, decrypted, and encrypt what is saved."""
    from slipway.settings import load, secrets

    secrets.edit(load.environment(environment(c, env)))


collection = Collection("secrets", init, edit)
