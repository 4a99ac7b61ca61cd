"""What a host is told of backups: all that its timer needs, with nobody's machine up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.plan.operation import Operation
from slipway.settings.model import Environment, Stack

CONFIGURATION = "environment"
"""What the part with the environment's own configuration is called, beside the services'."""


def keeps(env: Environment, stack: Stack) -> bool:
    """Tell whether backups of this stack are made in this environment."""
    return env.backup is not None and bool(stack.kept)


def operation(
    env: Environment,
    stack: Stack,
    secrets: Mapping[str, str],
    stack_secrets: Mapping[str, str],
    configuration: Mapping[str, str],
) -> Operation:
    """Return the operation that tells the environment's first host what to keep, and where.

    Args:
        env: the environment.
        stack: the stack.
        secrets: what opens the repository, see `slipway.settings.secrets.backup_secrets`.
        stack_secrets: the stack's secrets: of these go the passwords of databases that somebody else runs.
        configuration: the environment's own files, secrets still encrypted: path and text. Kept as well.
    """
    backup = env.backup
    assert backup  # noqa: S101 - the caller looked
    files = {"password": secrets["password"]}
    files |= {f"env.{variable}": secrets[name] for variable, name in backup.environment.items()}
    if secrets.get("ssh_key"):  # the servers of copies have to be known, as hosts have
        files |= {
            "ssh_key": secrets["ssh_key"].strip() + "\n",
            "ssh_known_hosts": configuration.get("envs/known_hosts", ""),
        }
    files |= {f"database-{k.password}": stack_secrets[k.password] for k in stack.kept if k.host and k.password}
    document = {
        "env": env.name,
        "stack": stack.name,
        "repository": backup.repository,
        "image": backup.image,
        "keep": backup.keep.model_dump(),
        "copies": list(backup.copies),
        "least": backup.least,
        "late_after": backup.late_after,
        "before_migrations": backup.before_migrations,
        "fresh": backup.fresh,
        "kept": [*(_kept(k.model_dump()) for k in stack.kept), {"service": CONFIGURATION, "kind": "configuration"}],
    }
    params = {"document": document, "secrets": files, "configuration": dict(configuration)}
    return Operation("backup.write", "note what is kept", params)


def _kept(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs from the defaults of the host's `Kept`."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in value.items() if v}
