"""What an environment file has to get right beyond the shape of each value.

The checks look at the plain values, guarded, rather than at the model: a file with one wrong type still gets all of its
problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from slipway.settings.keeping import LAB_FOLDER
from slipway.settings.problems import Path, Problems, listed, nearest
from slipway.settings.yamlfile import YamlFile

STACK_FILE = "compose.yaml"
_STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{0,99}[A-Za-z0-9_-]")


def environment(file: YamlFile, root: FilePath, problems: Problems) -> None:
    """Check hosts, lab, registry and stacks of one environment file against each other."""
    hosts = list(entries(file, "hosts"))
    _machines(file, problems)
    _password(file, problems)
    _development(file, problems)
    _backup(file, problems)
    _unique(
        file, problems, hosts, key="name", identity=lambda host: host.get("name"), words="another host has this name"
    )
    _unique(file, problems, hosts, key="address", identity=_ssh_address, words="another host has this address and port")
    stacks = list(entries(file, "stacks"))
    _unique(
        file,
        problems,
        stacks,
        key="name",
        identity=lambda stack: stack.get("name"),
        words="this stack is listed already",
    )
    _unique(
        file,
        problems,
        stacks,
        key="port",
        identity=lambda stack: _door(file, stack),
        words="another stack has this front door: give each its own port or domain",
    )
    for at, stack in stacks:
        if stack.get("name") in ("registry", "backup"):
            words = f"`{stack['name']}` is the vault's key for passwords of the environment itself: rename it"
            file.problem(problems, (*at, "name"), words)
        _stack_folder(file, root, (*at, "name"), stack.get("name"), problems)
        if file.data.get("target") == "kubernetes":
            _overlay(file, root, (*at, "name"), stack.get("name"), problems)


def entries(file: YamlFile, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield path and mapping of each entry of the list under `key`; a bare name counts as `{name: ...}`."""
    found = file.data.get(key)
    for index, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, dict):
            yield (key, index), item
        elif isinstance(item, str):
            yield (key, index), {"name": item}


def _machines(file: YamlFile, problems: Problems) -> None:
    data = file.data
    hosts, lab = data.get("hosts"), data.get("lab")
    if data.get("target") == "kubernetes":
        _cluster(file, problems)
        return
    if "kubernetes" in data:
        file.problem(problems, ("kubernetes",), "has no effect without `target: kubernetes`: leave it out")
    if hosts and lab is not None:
        file.problem(problems, ("lab",), "leave out either hosts or lab: the lab brings its own hosts")
    elif not hosts and lab is None:
        path: Path = ("hosts",) if "hosts" in data else ()
        file.problem(problems, path, "hosts is missing: list the machines, or give `lab: {}` for throw-away ones")
    if lab is not None and data.get("registry") is not None:
        file.problem(problems, ("registry",), "has no effect with lab, which brings its own registry: leave it out")
    elif lab is None and data.get("registry") is None:
        file.problem(problems, (), "registry is missing: hosts pull images from it, e.g. `registry: {push: ...}`")


def _cluster(file: YamlFile, problems: Problems) -> None:
    """Check what an environment on a cluster says, and note what only hosts have."""
    data = file.data
    if data.get("kubernetes") is None:
        file.problem(
            problems, ("target",), "kubernetes is missing: name the cluster, e.g. `kubernetes: {context: ...}`"
        )
    if data.get("registry") is None:
        file.problem(
            problems, (), "registry is missing: the cluster pulls images from it, e.g. `registry: {push: ...}`"
        )
    for key, why in _OF_HOSTS.items():
        if key in data:
            file.problem(problems, (key,), f"has no effect with `target: kubernetes`: {why}; leave it out")
    for at, stack in entries(file, "stacks"):
        if "port" in stack:
            words = "has no effect with `target: kubernetes`: the overlay's Services and Ingress say how it is reached"
            file.problem(problems, (*at, "port"), words)
    _reached_by_pods(file, problems)


def _reached_by_pods(file: YamlFile, problems: Problems) -> None:
    """Note a repository that is a folder: a host's, and a cluster's pods come and go."""
    backup = file.data.get("backup")
    if not isinstance(backup, dict):
        return
    copies = backup.get("copies")
    found: list[tuple[Path, Any]] = [(("backup", "repository"), backup.get("repository"))]
    found += [(("backup", "copies", i), url) for i, url in enumerate(copies if isinstance(copies, list) else ())]
    for path, url in found:
        if isinstance(url, str) and url.startswith("/"):
            words = "is a folder, and pods have none that stays: give a repository that they reach, e.g. `s3:https://...`, `rest:https://...`"
            file.problem(problems, path, words)


_OF_HOSTS = {
    "hosts": "a cluster has nodes",
    "lab": "it is made of hosts",
    "development": "development is for this machine",
    "deploy_keys": "who may deploy is the cluster's to say",
    "keep_warm": "with `strategy: blue-green` the predecessor runs until the next deploy",
    "max_draining": "pods that end have a grace period each",
    "logs": "nodes keep what containers say",
}
"""What an environment says of hosts alone, and what a cluster has instead."""


def _password(file: YamlFile, problems: Problems) -> None:
    password = file.data.get("vault_password")
    if isinstance(password, dict) and (password.get("file") is None) == (password.get("command") is None):
        file.problem(problems, ("vault_password",), "should have either a file or a command")


def _development(file: YamlFile, problems: Problems) -> None:
    """Note what has no effect in an environment for development: it has neither releases nor a router."""
    if file.data.get("development") is not True:
        return
    if file.data.get("hosts"):
        file.problem(problems, ("hosts",), "development is for this machine: give `lab: {}` instead")
    for key in ("keep_warm", "keep_releases", "max_draining", "settle", "backup"):
        if key in file.data:
            file.problem(problems, (key,), "has no effect with development, where there are no releases: leave it out")
    for at, stack in entries(file, "stacks"):
        if "domain" in stack:
            file.problem(problems, (*at, "domain"), "has no effect with development, where there is no router")
        if "replicas" in stack:
            file.problem(problems, (*at, "replicas"), "has no effect with development: write it in compose.dev.yaml")


def _backup(file: YamlFile, problems: Problems) -> None:
    """Note a lab's repository that would go with its host, and copies that are none."""
    backup = file.data.get("backup")
    if not isinstance(backup, dict):
        return
    main, copies = backup.get("repository"), backup.get("copies")
    named: list[tuple[Path, Any]] = [(("backup", "repository"), main)]
    named += [(("backup", "copies", i), c) for i, c in enumerate(copies if isinstance(copies, list) else ())]
    seen: set[str] = set()
    for path, url in named:
        if not isinstance(url, str):
            continue
        if file.data.get("lab") is not None and url.startswith("/") and not f"{url}/".startswith(f"{LAB_FOLDER}/"):
            file.problem(problems, path, f"would go with the lab's host: write {LAB_FOLDER}, or a folder below it")
        if url in seen:
            file.problem(problems, path, "is the same repository again")
        seen.add(url)


def _door(file: YamlFile, stack: dict[str, Any]) -> Any:
    """Return what tells a stack's front door from others'; on a cluster a stack without a domain has one of its own."""
    domain = stack.get("domain")
    return domain if file.data.get("target") == "kubernetes" else (stack.get("port", 80), domain)


def _ssh_address(host: dict[str, Any]) -> Any:
    return (host["address"], host.get("port", 22)) if "address" in host else None


def _unique(
    file: YamlFile, problems: Problems, items: list[tuple[Path, dict[str, Any]]], *, key: str, identity: Any, words: str
) -> None:
    """Note each entry whose identity an earlier one has (None and values that cannot be compared have none)."""
    seen: dict[Any, int] = {}
    for at, item in items:
        value = identity(item)
        if value is None or isinstance(value, (dict, list)) or repr(value).find("{") >= 0 or repr(value).find("[") >= 0:
            continue
        if value in seen:
            file.problem(problems, (*at, key), f"{words} (line {seen[value]})")
        else:
            seen[value] = file.line((*at, key))


def _stack_folder(file: YamlFile, root: FilePath, path: Path, name: Any, problems: Problems) -> None:
    if isinstance(name, str) and not is_stack(root, name):
        known = stacks_of(root)
        words = f"there is no compose/{name[:60]}/{STACK_FILE}{nearest(name, known)}; stacks: {listed(known)}"
        file.problem(problems, path, words)


def _overlay(file: YamlFile, root: FilePath, path: Path, name: Any, problems: Problems) -> None:
    """Note a stack that has no manifests for this environment."""
    env = FilePath(file.name).stem
    if (
        isinstance(name, str)
        and is_stack(root, name)
        and not (overlay(root, name, env) / "kustomization.yaml").is_file()
    ):
        known = sorted(p.parent.name for p in (root / "k8s" / name / "overlays").glob("*/kustomization.yaml"))
        words = f"there is no k8s/{name}/overlays/{env}/kustomization.yaml; overlays: {listed(known)}"
        file.problem(problems, path, words)


def overlay(root: FilePath, stack: str, env: str) -> FilePath:
    """Return the folder of a stack's manifests for an environment."""
    return root / "k8s" / stack / "overlays" / env


def is_stack(root: FilePath, name: str) -> bool:
    """Return whether `name` is a stack of the checkout (a name that is none of a file never is)."""
    return bool(_STACK_NAME.fullmatch(name)) and (root / "compose" / name / STACK_FILE).is_file()


def stacks_of(root: FilePath) -> list[str]:
    """Return the names of the stacks that a checkout has."""
    return sorted(p.parent.name for p in (root / "compose").glob(f"*/{STACK_FILE}"))


def environments_of(root: FilePath) -> list[str]:
    """Return the names of the environments that a checkout has."""
    return sorted(p.stem for p in (root / "envs").glob("*.yml") if not p.stem.endswith(".vault"))
