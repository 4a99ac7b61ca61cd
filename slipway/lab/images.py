"""The images that labs and stacks start from: pulled where that is possible, else stand-ins built from Debian packages.

A stand-in carries the official image's name and behaves as it does (environment variables, paths, users, signals), so
that nothing else knows the difference. Its label `slipway.standin` is the hash of its recipe: it is made anew when that
changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from slipway import report
from slipway.errors import SlipwayError
from slipway.lab import base, engine, places, registry
from slipway.lab.state import LabState
from slipway.settings import imagename

RECIPES = Path(__file__).parent / "recipes"
BASE = "debian:trixie-slim"
HOST = "slipway-lab-host:latest"
"""The lab host: never pulled, always built on `BASE`."""

STANDINS = {
    BASE: "base",
    HOST: "host",
    "registry:2": "registry",
    "python:3.13-slim-trixie": "python",
    "postgres:17": "postgres",
    "redis:8": "redis",
    "haproxy:3.0": "haproxy",
    "restic/restic:0.18.0": "restic",
}
"""Official name -> folder of its recipe."""

ANSWER_WITHIN = 6.0
"""Seconds that the image registry of the internet gets to answer."""

LABEL = '{{index .Config.Labels "slipway.standin"}}'


@dataclass(frozen=True)
class _Present:
    """An image on the engine: its id, and its recipe's hash if it is a stand-in ("" for an official one)."""

    id: str
    recipe: str


def ensure(name: str) -> str:
    """Make sure that the image `name` is on the engine: already there, pulled, or its stand-in built. Return `name`.

    Raises:
        SlipwayError: it can neither be pulled nor is there a stand-in of that name, or building it failed.
    """
    if _good(name):
        return name
    with places.lock(f"image-{name}", among=places.of_user()):
        if _good(name):  # another process made it while we waited
            return name
        present = _present(name)
        if not present and name != HOST and _pulled(name):
            return name
        if name not in STANDINS:
            raise SlipwayError(
                f"the image {name} is not on the engine and cannot be pulled",
                seen=f"stand-ins without internet exist for {', '.join(n for n in STANDINS if n != HOST)}",
                todo=f"connect to the internet, or load it by hand: docker load -i {name.replace(':', '-')}.tar",
            )
        if name != BASE:
            ensure(BASE)
        with report.step(f"Build {name} from Debian packages"):
            _build(name)
        # Those of earlier recipes, where no container needs them any more.
        engine.docker("image", "prune", "--force", "--filter", "label=slipway.standin", check=False)
    return name


def ensure_all(names: Iterable[str]) -> None:
    """Do what `ensure` does for several images, as many side by side as there are processors.

    Raises:
        SlipwayError: that of the first that failed.
    """
    missing = [name for name in dict.fromkeys(names) if not _good(name)]
    if not missing:
        return
    if HOST in missing or not online():
        ensure(BASE)  # first, alone: the others wait for it
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        list(pool.map(ensure, missing))


def publish(name: str, state: LabState) -> None:
    """Push the official image `name` to a lab's registry, where its hosts' mirror setting finds it under that name.

    Nothing is done if the registry has it already; nor for an image of another registry than the hub, since hosts ask no
    mirror for it, nor for one by digest, since what is pushed may get another one.

    Raises:
        SlipwayError: the image is not on the engine, or the registry does not take it.
    """
    wanted = imagename.parse(name)
    if wanted.registry != imagename.HUB or wanted.digest:
        return
    target = f"{state.registry.push}/{wanted.path}:{wanted.tag}"
    image = engine.docker("image", "inspect", "--format", "{{.Id}}", name).out.strip()
    with places.lock(f"publish-{state.name}-{name}", remove=True):
        note = Path(state.key_file).parent / "published" / f"{name.replace('/', '_')}.json"
        known = registry.digest(state.registry.push, wanted.path, wanted.tag)
        if known and places.read_json(note) == [image, known]:
            return
        with report.step(f"Publish {name} in the lab"):
            engine.docker("tag", name, target)
            try:
                engine.docker("push", "--quiet", target)
            finally:
                engine.docker("rmi", "--no-prune", target, check=False)
        places.write(note, json.dumps([image, registry.digest(state.registry.push, wanted.path, wanted.tag)]))


def recipe_hash(name: str) -> str:
    """Return the hash of what the stand-in `name` is made from: its recipe, what all share, and its base's recipe."""
    digest = hashlib.sha256()
    parts = [RECIPES / "base"] if name == BASE else [RECIPES / "base", RECIPES / "install.sh", RECIPES / STANDINS[name]]
    for part in parts:
        for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
            if path.is_file():
                digest.update(f"{path.relative_to(RECIPES)}\0{path.stat().st_mode & 0o111}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _present(name: str) -> _Present | None:
    done = engine.docker("image", "inspect", "--format", "{{.Id}} " + LABEL, name, check=False)
    if done.code != 0:
        return None
    image, _, recipe = done.out.strip().partition(" ")
    return _Present(image, "" if recipe == "<no value>" else recipe)


def _good(name: str) -> bool:
    """Tell whether the image is on the engine and, if it is a stand-in, made by today's recipe."""
    present = _present(name)
    if present is None:
        return False
    return not present.recipe or name not in STANDINS or present.recipe == recipe_hash(name)


def _pulled(name: str) -> bool:
    """Try to pull an image, unless nothing can be pulled from here. Tell whether it worked."""
    if not online():
        return False
    with report.step(f"Pull {name}") as step:
        done = engine.docker("pull", "--quiet", name, check=False, timeout=1800)
        if done.code != 0:
            step.done("not possible")
    return done.code == 0


def online() -> bool:
    """Tell whether official images can be pulled: asked at most once an hour, and then for a few seconds."""
    note = places.home() / "online.json"
    known = places.read_json(note)
    if isinstance(known, dict) and 0 <= time.time() - known.get("at", 0) < 3600:
        return bool(known["answer"])
    probe = "hello-world:latest"
    had = _present(probe)
    try:
        answer = engine.docker("pull", "--quiet", probe, check=False, timeout=ANSWER_WITHIN).code == 0
    except SlipwayError:  # out of time
        answer = False
    if answer and not had:
        engine.docker("rmi", probe, check=False)
    places.write(note, json.dumps({"at": time.time(), "answer": answer}))
    return answer


def _build(name: str) -> None:
    recipe = recipe_hash(name)
    if name == BASE:
        base.build(name, recipe)
        return
    lists = base.LISTS if _present(base.LISTS) else BASE
    with tempfile.TemporaryDirectory(dir=places.home(), prefix="build-") as folder:
        context = Path(folder)
        shutil.copytree(RECIPES / STANDINS[name], context / STANDINS[name])
        shutil.copy(RECIPES / "install.sh", context)
        (context / "ca").mkdir()
        for path in base.certificates():
            shutil.copy(path, context / "ca")
        options = ["--tag", name, "--label", f"slipway.standin={recipe}", "--build-arg", f"LISTS={lists}"]
        file = context / STANDINS[name] / "Dockerfile"
        engine.docker("build", "--progress", "plain", *options, "--file", file, context, timeout=1800)
