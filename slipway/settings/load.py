"""Read an environment and a stack, whole: typed values, or one `BadInput` that lists every problem of both files."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

from slipway.errors import BadInput
from slipway.settings import checks, stackfile, validate, yamlfile
from slipway.settings.model import Environment, Stack, StackEntry
from slipway.settings.problems import Path, Problems, listed, nearest
from slipway.settings.yamlfile import YamlFile

_ENVIRONMENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,40}")


def root() -> FilePath:
    """Return the checkout that this package belongs to."""
    return FilePath(__file__).resolve().parents[2]


def environment(name: str, *, at: FilePath | None = None) -> Environment:
    """Return the environment that `envs/<name>.yml` describes.

    Args:
        name: as in `--env`.
        at: the checkout (default: the one this package belongs to).

    Raises:
        BadInput: there is no such file, or it is wrong: all its problems with file:line.

    """
    problems = Problems()
    base = (at or root()).resolve()
    env = _environment(_environment_file(name, base, problems), name, base, problems)
    problems.raise_if_any()
    if env is None:
        raise AssertionError("no environment and no problem")
    return env


def target(name: str, *, at: FilePath | None = None) -> str:
    """Return where an environment's releases run, by its file alone: whatever else is wrong there is for `load` to tell.

    Raises:
        BadInput: there is no such environment.
    """
    file = _environment_file(name, (at or root()).resolve(), Problems())
    return "kubernetes" if file.data.get("target") == "kubernetes" else "compose"


def stack(env: Environment, name: str | None = None, *, at: FilePath | None = None) -> Stack:
    """Return the stack `name` of `env` (None: the first), with the environment's settings put in.

    Raises:
        BadInput: the environment has no such stack, or its file is wrong: all its problems with file:line.

    """
    problems = Problems()
    base = (at or root()).resolve()
    names = [s.name for s in env.stacks]
    if name is not None and name not in names:
        raise BadInput(
            f"environment {env.name} has no stack {name[:60]!r}{nearest(name, names)}",
            where=f"envs/{env.name}.yml", seen=f"stacks: {listed(names)}", todo="name one of them with --stack",
        )  # fmt: skip
    entry = env.stack(name)
    usage = stackfile.Usage(
        file=_positions(env.name, base),
        at=("stacks", names.index(entry.name)),
        settings=entry.settings,
        replicas=entry.replicas,
        development=env.development,
    )
    found = stackfile.read(base, entry.name, usage, problems)
    problems.raise_if_any()
    if found is None:
        raise AssertionError("no stack and no problem")
    return found


def load(
    env_name: str, stack_name: str | None = None, *, at: FilePath | None = None
) -> tuple[Environment, StackEntry, Stack]:
    """Return an environment, its entry for a stack (None: the first) and the stack itself.

    Raises:
        BadInput: either file is wrong; one message lists the problems of both.

    """
    problems = Problems()
    base = (at or root()).resolve()
    file = _environment_file(env_name, base, problems)
    env = _environment(file, env_name, base, problems)
    found = _stack(file, stack_name, file.data.get("development") is True, base, problems)
    problems.raise_if_any()
    if env is None or found is None:
        raise AssertionError("no settings and no problem")
    return env, env.stack(found.name), found


def _environment_file(name: str, base: FilePath, problems: Problems) -> YamlFile:
    path = base / "envs" / f"{name}.yml"
    if not _ENVIRONMENT_NAME.fullmatch(name) or not path.is_file():
        known = checks.environments_of(base)
        odd = [n for n in known if not _ENVIRONMENT_NAME.fullmatch(n)]
        seen = f"environments: {listed(known)}"
        if odd:
            seen += f"; not usable as a name (lower-case letters, digits, hyphens): {listed(odd)}"
        raise BadInput(
            f"there is no environment {name[:60]!r}{nearest(name, known)}", where="envs/", seen=seen,
            todo="name one of them with --env, or write envs/<name>.yml (docs/settings.md)",
        )  # fmt: skip
    return yamlfile.read(path, f"envs/{name}.yml", problems)


def _positions(name: str, base: FilePath) -> YamlFile:
    """Return the environment's file for its line numbers alone; a program may have made the environment itself."""
    shown = f"envs/{name}.yml"
    path = base / shown
    return yamlfile.read(path, shown, Problems()) if path.is_file() else YamlFile(shown)


def _environment(file: YamlFile, name: str, base: FilePath, problems: Problems) -> Environment | None:
    if not file.data:
        return None
    values = dict(file.data)
    if "name" in values:
        file.problem(problems, ("name",), "unknown key (the file's own name is the environment's name)")
    if isinstance(values.get("stacks"), list):
        values["stacks"] = [_entry(item, file, ("stacks", i)) for i, item in enumerate(values["stacks"])]
    env = validate.model(Environment, {**values, "name": name}, file, (), problems)
    checks.environment(file, base, problems)
    return env


def _entry(item: Any, file: YamlFile, at: Path) -> Any:
    """Return a stack's entry in its long form; numbers among its settings become text as they are written."""
    if isinstance(item, str):
        return {"name": item}
    if isinstance(item, dict) and isinstance(item.get("settings"), dict):
        return {**item, "settings": _settings(item["settings"], file, (*at, "settings"))}
    return item


def _settings(values: dict[str, Any], file: YamlFile, at: Path) -> dict[str, Any]:
    return {k: file.text((*at, k)) if isinstance(v, (bool, int, float)) else v for k, v in values.items()}


def _stack(file: YamlFile, name: str | None, development: bool, base: FilePath, problems: Problems) -> Stack | None:
    """Read the stack that an environment file names, as far as that file can be understood."""
    entries = [(at, e) for at, e in checks.entries(file, "stacks") if isinstance(e.get("name"), str)]
    if name is not None and file.data and name not in [e["name"] for _, e in entries]:
        known = [e["name"] for _, e in entries]
        words = f"there is no stack {name[:60]!r} here{nearest(name, known)}; stacks: {listed(known)}"
        file.problem(problems, ("stacks",), words)
        return None
    for at, entry in entries:
        if name in (None, entry["name"]) and checks.is_stack(base, entry["name"]):
            settings = entry.get("settings") if isinstance(entry.get("settings"), dict) else {}
            replicas = entry.get("replicas") if isinstance(entry.get("replicas"), dict) else {}
            usage = stackfile.Usage(
                file=file,
                at=at,
                settings={
                    k: v for k, v in _settings(settings or {}, file, (*at, "settings")).items() if isinstance(v, str)
                },
                replicas={k: v for k, v in (replicas or {}).items() if type(v) is int and v >= 1},
                development=development,
            )
            return stackfile.read(base, entry["name"], usage, problems)
        if name in (None, entry["name"]):
            return None
    return None
