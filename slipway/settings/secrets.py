"""The secrets of an environment, encrypted in its vault: `{stack: {name: value}, registry: {...}, backup: {...}}`.

The vault of an environment of rented hosts is `envs/<env>.vault.yml` and belongs into git. A lab's password is this
checkout's own, so its vault is git-ignored, in `.slipway/vaults/`, and made with random values at first use.
"""

from __future__ import annotations

import fcntl
import os
import secrets as random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import BadInput
from slipway.settings import load, scalars, vault, yamlfile
from slipway.settings.model import Environment, Stack
from slipway.settings.password import password, write_private
from slipway.settings.problems import Problems, listed, nearest
from slipway.settings.redact import Secret, hide
from slipway.settings.yamlfile import YamlFile

REGISTRY, BACKUP = "registry", "backup"
SSH_KEY = "ssh_key"
"""Name below `backup` of the private key that `sftp:` copies are made with."""
"""The vault's keys for the registry's password, and for those of backups; no stack may have these names."""

REGISTRY_VARIABLE = "SLIPWAY_REGISTRY_PASSWORD"

_SAFE_WORDS = ("is empty", "is here twice", "should be a mapping", "is not UTF-8", "is nested", "holds more than")


@dataclass(frozen=True)
class Initialised:
    """What `init` did: the file, the names it gave random values, and those that a person has to enter."""

    file: Path
    made: tuple[str, ...]
    to_enter: tuple[str, ...]


def vault_file(env: Environment, *, at: Path | None = None) -> Path:
    """Return where the secrets of `env` are, whether the file exists or not."""
    folder = (".slipway", "vaults") if _own(env) else ("envs",)
    return (at or load.root()).joinpath(*folder, f"{env.name}.vault.yml")


def read(env: Environment, stack: Stack, *, at: Path | None = None) -> dict[str, Secret]:
    """Return the value of each secret that `stack`'s services use, by name. All are masked in messages from now on.

    A lab's missing secrets are made here. A stack without secrets needs neither vault nor password.

    Raises:
        BadInput: the vault or its password is missing or wrong, or the vault lacks secrets: each is named.

    """
    if not stack.secrets:
        return {}
    if _own(env):
        _fill(env, {stack.name: stack.secrets}, at or load.root())
    file, problems = _open(env, at or load.root(), {f"{stack.name}.{name}" for name in stack.secrets})
    section = file.data.get(stack.name)
    values = section if isinstance(section, dict) else {}
    if section is not None and not isinstance(section, dict):
        file.problem(problems, (stack.name,), "should be a mapping of secrets")
    found: dict[str, Secret] = {}
    for name in stack.secrets:
        text = _text(file, (stack.name, name), values.get(name))
        if text:
            found[name] = Secret(text)
        elif name in values:
            file.problem(problems, (stack.name, name), "has no value")
        else:
            close = nearest(name, values.keys() - set(stack.secrets))
            file.problem(problems, (stack.name, name), f"is missing{close}: inv secrets.edit --env {env.name}")
    problems.raise_if_any()
    return found


def registry_password(env: Environment, *, at: Path | None = None) -> Secret | None:
    """Return the password that goes with the registry's `username`; None where the registry has no user.

    SLIPWAY_REGISTRY_PASSWORD comes first: a pipeline's token, which a cloud or GitHub gives it for an hour. Then the vault.

    Raises:
        BadInput: the vault or its password is missing or wrong, or there is no `registry: {password: ...}` in it.

    """
    if env.registry is None or env.registry.username is None:
        return None
    if token := os.environ.get(REGISTRY_VARIABLE, "").strip():
        hide([token])
        return Secret(token)
    file, problems = _open(env, at or load.root(), {f"{REGISTRY}.password"})
    section = file.data.get(REGISTRY)
    text = _text(file, (REGISTRY, "password"), section.get("password") if isinstance(section, dict) else None)
    if not text:
        file.problem(problems, (REGISTRY, "password"), f"is missing: inv secrets.edit --env {env.name}")
    problems.raise_if_any()
    return Secret(text)


def backup_secrets(env: Environment, *, at: Path | None = None) -> dict[str, Secret]:
    """Return what opens the environment's backups: `password`, a value for each name in `backup.environment`, a key for SFTP.

    A lab's password is made here if it is missing. Without backups there is nothing.

    Raises:
        BadInput: the vault or its password is missing or wrong, or it lacks one of them: each is named.

    """
    if env.backup is None:
        return {}
    base = at or load.root()
    keys = [SSH_KEY] if any(url.startswith("sftp:") for url in env.backup.copies) else []
    names = ("password", *dict.fromkeys([*env.backup.environment.values(), *keys]))
    if _own(env):
        _fill(env, {BACKUP: ("password",)}, base)
    file, problems = _open(env, base, {f"{BACKUP}.{name}" for name in names})
    section = file.data.get(BACKUP)
    values = section if isinstance(section, dict) else {}
    found = {name: _text(file, (BACKUP, name), values.get(name)) for name in names}
    for name in names:
        if not found[name]:
            make = f": inv secrets.{'init' if name == 'password' and name not in values else 'edit'} --env {env.name}"
            file.problem(problems, (BACKUP, name), f"is missing{make}")
    problems.raise_if_any()
    return {name: Secret(text) for name, text in found.items()}


def init(env: Environment, *, at: Path | None = None) -> Initialised:
    """Give a random value to each secret that the environment's stacks name and the vault lacks.

    Values that are there are kept. The registry's password cannot be made up: it is listed as still to be entered.

    Raises:
        BadInput: a stack file, the vault or its password is wrong.

    """
    base = at or load.root()
    wanted = {entry.name: load.stack(env, entry.name, at=base).secrets for entry in env.stacks}
    if env.backup:
        wanted[BACKUP] = ("password",)
    made = _fill(env, wanted, base)
    file, _ = _open(env, base, set())
    needed = [(REGISTRY, "password")] if env.registry and env.registry.username else []
    needed += [(BACKUP, name) for name in dict.fromkeys(env.backup.environment.values())] if env.backup else []
    to_enter = tuple(f"{key}.{name}" for key, name in needed if not _entered(file.data.get(key), name))
    return Initialised(vault_file(env, at=base), made, to_enter)


def _entered(section: Any, name: str) -> bool:
    return isinstance(section, dict) and bool(section.get(name))


def edit(env: Environment, *, at: Path | None = None, editor: Callable[[Path], int] | None = None) -> bool:
    """Open the secrets in $VISUAL or $EDITOR and encrypt what is saved. Return whether anything changed.

    The text is in a file of mode 0600, in memory where the machine has /dev/shm, and wiped afterwards.

    Raises:
        BadInput: the vault or its password is wrong, the editor failed, or what was saved is no YAML; nothing changed.

    """
    from slipway.settings import editing

    base = at or load.root()
    path = vault_file(env, at=base)
    key = password(env, base).reveal()
    with _locked(base, env):
        before = _decrypt(path, key, env) if path.is_file() else "# <stack>:\n#   <name of the secret>: <value>\n"
        after = editing.edit(before, base, editor or editing.run_editor)
        if after == before:
            return False
        file, problems = _parse(after, path, base)
        for name, section in file.data.items():
            if not isinstance(section, dict):
                file.problem(problems, (name,), "should be a mapping: secrets stand below their stack's name")
        problems.raise_if_any()
        _write(path, after, key)
    return True


def _own(env: Environment) -> bool:
    return env.lab is not None and env.vault_password is None


def _fill(env: Environment, wanted: dict[str, tuple[str, ...]], base: Path) -> tuple[str, ...]:
    """Add random values for what the vault lacks and return the names of what was added."""
    path = vault_file(env, at=base)
    key = password(env, base).reveal()
    with _locked(base, env):
        text = _decrypt(path, key, env) if path.is_file() else "{}\n"
        file, problems = _parse(text, path, base)
        problems.raise_if_any()
        data: dict[str, Any] = _as_written(file.data, file, ())
        made: list[str] = []
        for stack, names in wanted.items():
            section = data.get(stack) or {}
            if not isinstance(section, dict):
                file.problem(problems, (stack,), "should be a mapping of secrets")
                problems.raise_if_any()
            for name in names:
                if not section.get(name):
                    section = {**section, name: random.token_urlsafe(24)}
                    made.append(f"{stack}.{name}")
            if section:
                data[stack] = section
        if made or not path.is_file():
            _write(path, scalars.dump(data), key)
    return tuple(made)


def _open(env: Environment, base: Path, needed: set[str]) -> tuple[YamlFile, Problems]:
    path = vault_file(env, at=base)
    if not path.is_file():
        raise BadInput(
            f"{_shown(path, base)} is missing, which should hold {listed(needed)}" if needed else "there is no vault",
            where=f"envs/{env.name}.yml",
            todo=f"inv secrets.init --env {env.name}, then inv secrets.edit --env {env.name}",
        )
    file, problems = _parse(_decrypt(path, password(env, base).reveal(), env), path, base)
    problems.raise_if_any()
    hide(_texts(file, file.data, ()))
    return file, problems


def _decrypt(path: Path, key: str, env: Environment) -> str:
    try:
        return vault.decrypt(path.read_text(encoding="utf-8"), key)
    except vault.VaultError as error:
        todo = "give the right one in SLIPWAY_VAULT_PASSWORD, or correct vault_password"
        if _own(env):
            todo = f"if .slipway/vault-password is lost, remove {path} and the lab: inv lab.down --env {env.name}"
        raise BadInput(f"{path.name} {error}", where=str(path), todo=todo) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read", where=str(path), seen=type(error).__name__) from error


def _parse(text: str, path: Path, base: Path) -> tuple[YamlFile, Problems]:
    """Parse decrypted YAML. Its problems tell no value: only their kind and line."""
    raw, told = Problems(), Problems()
    file = yamlfile.parse(text.encode(), _shown(path, base), raw)
    for problem in raw.found:
        safe = problem.message if problem.message.startswith(_SAFE_WORDS) else "does not parse (values are not shown)"
        told.add(problem.file, problem.line, (), safe)
    return file, told


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base))


def _text(file: YamlFile, path: tuple[str, ...], value: Any) -> str:
    """Return a secret's text as it is written (`0123` keeps its zero); "" if there is none."""
    if isinstance(value, str):
        return value
    return file.text(path) or "" if isinstance(value, (bool, int, float)) else ""


def _texts(file: YamlFile, value: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(file, item, (*path, key))
    elif text := _text(file, path, value):
        yield text


def _as_written(value: Any, file: YamlFile, path: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {k: _as_written(v, file, (*path, k)) for k, v in value.items()}
    return value if value is None or isinstance(value, list) else _text(file, path, value)


def _write(path: Path, text: str, key: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{random.token_hex(8)}")
    write_private(fresh, vault.encrypt(text, key))
    fresh.replace(path)


@contextmanager
def _locked(base: Path, env: Environment) -> Iterator[None]:
    """Hold off another process of this checkout that writes the same vault."""
    folder = base / ".slipway" / "vaults"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / f"{env.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


__all__ = ["Initialised", "Secret", "backup_secrets", "edit", "init", "read", "registry_password", "vault_file"]
