"""Where versions are asked for: git for actions, registries for images, Galaxy for collections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from slipway.bump.newer import Found, Newer, newest, tag
from slipway.errors import SlipwayError
from slipway.image.registry import RegistryClient
from slipway.process import run
from slipway.scan import files
from slipway.settings import yamlfile
from slipway.settings.imagename import HUB, ImageName, parse
from slipway.settings.model import Registry
from slipway.settings.problems import Problems

GITHUB = "https://github.com"
HUB_API = "registry-1.docker.io"
_USES = re.compile(r"uses: (?P<repo>[\w.-]+/[\w.-]+)(?P<path>/\S+)?@(?P<commit>[0-9a-f]{40}) # (?P<tag>v\S+)")
_OWN = re.compile(r'^[A-Z_]+ = "(?P<image>[a-z][a-z0-9./-]*:\d[\w.-]*)"', re.M)
"""Images that Slipway itself runs, as constants of its modules."""
COLLECTIONS = "ansible/requirements.yml"

T = TypeVar("T")


def _each(things: Iterable[T], ask: Callable[[T], Newer | None], name: Callable[[T], str]) -> Found:
    """Ask for each thing, side by side; what does not answer is told."""
    found = Found()

    def one(thing: T) -> Newer | str | None:
        try:
            return ask(thing)
        except SlipwayError as error:
            return f"{name(thing)}: {' '.join(str(error).split())[:200]}"

    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(one, things):
            if isinstance(answer, Newer):
                found.newer.append(answer)
            elif answer:
                found.unreached.append(answer)
    return found


def actions(root: Path) -> Found:
    """Return the actions of which there is a newer release, with its commit."""
    uses: dict[tuple[str, str, str], list[str]] = {}
    for name in files.tracked(root, ".github/*.yml"):
        for found in _USES.finditer((root / name).read_text()):
            places = uses.setdefault((found["repo"], found["commit"], found["tag"]), [])
            places += [name] if name not in places else []

    def ask(use: tuple[str, str, str]) -> Newer | None:
        repo, commit, now = use
        known = _tags(repo)
        then = newest(now, known)
        edit = (f"@{commit} # {now}", f"@{known[then]} # {then}") if then else ("", "")
        return Newer("action", repo, now, then, tuple(uses[use]), (edit,)) if then else None

    return _each(uses, ask, lambda use: use[0])


def _tags(repo: str) -> dict[str, str]:
    """Return a repository's tags and their commits, as git tells them."""
    argv = ["git", "ls-remote", "--tags", f"{GITHUB}/{repo}"]
    done = run(argv, env={"GIT_TERMINAL_PROMPT": "0"}, check=False, timeout=30)
    if done.code != 0:
        raise SlipwayError("git could not list its tags", seen=done.tail(1))
    found: dict[str, str] = {}
    for commit, name in (line.split("\t") for line in done.out.splitlines()):
        # A tag with a message is an object of its own; the line with ^{}, which comes after it, names the commit.
        found[name.removeprefix("refs/tags/").removesuffix("^{}")] = commit
    return found


def images(root: Path) -> Found:
    """Return the images of which there is a newer version with the same ending (`3.13-slim` → `3.14-slim`)."""
    uses: dict[str, list[str]] = {}
    named = [(file, image) for file, _, image in files.images(root)]
    modules = files.tracked(root, "slipway/*.py")
    named += [(name, found["image"]) for name in modules for found in _OWN.finditer((root / name).read_text())]
    for file, image in named:
        places = uses.setdefault(image, [])
        places += [file] if file not in places else []

    def ask(image: str) -> Newer | None:
        name = parse(image)
        if name.digest or tag(name.tag) is None:
            return None  # `trixie-slim`: no version, and no newer one
        then = newest(name.tag, _client(name).tags(name.path))
        edit = (image, f"{name.repository}:{then}")
        return Newer("image", name.repository, name.tag, then, tuple(uses[image]), (edit,)) if then else None

    return _each(uses, ask, str)


def _client(name: ImageName) -> RegistryClient:
    return RegistryClient(Registry(push=HUB_API if name.registry == HUB else name.registry))


def collections(root: Path) -> Found:
    """Return the Ansible collections of which there is a newer version, where the playbook uses any."""
    file = yamlfile.read(root / COLLECTIONS, COLLECTIONS, Problems()) if (root / COLLECTIONS).is_file() else None
    listed = file.data.get("collections") if file else None
    pinned = {c["name"]: str(c["version"]) for c in listed or () if isinstance(c, dict) and "version" in c}

    def ask(name: str) -> Newer | None:
        then = newest(pinned[name], [_galaxy(name)])
        edit = (f"version: {pinned[name]}", f"version: {then}")
        return Newer("collection", name, pinned[name], then, (COLLECTIONS,), (edit,)) if then else None

    return _each(pinned, ask, str)


def _galaxy(name: str) -> str:
    """Return the newest version of a collection, as the Galaxy server of Ansible's configuration tells it."""
    import requests

    from ansible import constants  # type: ignore[attr-defined]

    path = "api/v3/plugin/ansible/content/published/collections/index"
    try:
        answer = requests.get(f"{constants.GALAXY_SERVER}/{path}/{name.replace('.', '/')}/", timeout=10)
        answer.raise_for_status()
        return str(answer.json()["highest_version"]["version"])
    except (requests.RequestException, ValueError, KeyError) as error:
        raise SlipwayError("Galaxy does not tell its versions", seen=str(error)) from error
