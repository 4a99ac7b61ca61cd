"""The password of an environment's secrets: from the environment, a file, a command, or (a lab) made at first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from slipway.errors import BadInput, SlipwayError
from slipway.settings.model import Environment
from slipway.settings.redact import Secret, hide

VARIABLE = "SLIPWAY_VAULT_PASSWORD"
FILE_VARIABLE = "SLIPWAY_VAULT_PASSWORD_FILE"


def password(env: Environment, base: Path) -> Secret:
    """Return the password of `env`'s vault.

    A lab's is this checkout's own, `.slipway/vault-password`, made here if it is missing. Elsewhere it is the first of
    these that is given: SLIPWAY_VAULT_PASSWORD, the file named by SLIPWAY_VAULT_PASSWORD_FILE, `vault_password`.

    Raises:
        BadInput: none is given, or what is given cannot be read or is empty.

    """
    text = _given(env, base).strip()
    if not text:
        raise BadInput(f"the password of {env.name}'s secrets is empty", where=f"envs/{env.name}.yml", todo=_hint(env))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"the password of {env.name}'s secrets is not UTF-8 text", where=f"envs/{env.name}.yml", todo=_hint(env)
        ) from error
    hide([text])
    return Secret(text)


def _given(env: Environment, base: Path) -> str:
    if env.lab is not None and env.vault_password is None:
        return _own(base / ".slipway" / "vault-password")
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if FILE_VARIABLE in os.environ:
        return _file(Path(os.environ[FILE_VARIABLE]).expanduser(), FILE_VARIABLE, env)
    given = env.vault_password
    if given and given.file:
        return _file(base / Path(given.file).expanduser(), f"envs/{env.name}.yml: vault_password.file", env)
    if given and given.command:
        return _command(given.command, env)
    raise BadInput(f"no password for {env.name}'s secrets is given", where=f"envs/{env.name}.yml", todo=_hint(env))


def _own(path: Path) -> str:
    """Return the text of a file that is made, with a random text and mode 0600, if it is missing."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        write_private(fresh, secrets.token_urlsafe(32) + "\n")
        try:
            os.link(fresh, path)  # fails where another process was first; then its password is the one
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text(encoding="utf-8")


def _file(path: Path, where: str, env: Environment) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BadInput(
            f"the password of {env.name}'s secrets cannot be read",
            where=where,
            seen=f"{path}: {reason}",
            todo=_hint(env),
        ) from error


def _command(argv: tuple[str, ...], env: Environment) -> str:
    from slipway import process

    where = f"envs/{env.name}.yml: vault_password.command"
    try:
        done = process.run(argv, timeout=60, check=False)
    except SlipwayError as error:
        raise BadInput(
            f"the password of {env.name}'s secrets cannot be read", where=where, seen=str(error), todo=_hint(env)
        ) from error
    if done.code != 0:  # standard output may be the password, or a part of it: it is not shown
        seen = f"`{argv[0]}` exited {done.code}: {' '.join(done.err.split())[-300:]}"
        raise BadInput(f"the password of {env.name}'s secrets cannot be read", where=where, seen=seen, todo=_hint(env))
    return done.out


def _hint(env: Environment) -> str:
    return f"set {VARIABLE} or {FILE_VARIABLE}, or give vault_password in envs/{env.name}.yml (docs/settings.md)"


def write_private(path: Path, text: str) -> None:
    """Write a new file that only this user can read, whole and on disk before this returns."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
