"""The registry that labs start from, once it was made: it has the official images that this machine has.

To push them is to compress them, which takes longer than all else that a lab of provisioned hosts does at its start: for the first
such lab they are pushed to a registry that is kept as an image. What is built on them is pushed without their layers then.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from slipway import report
from slipway.lab import containers, engine, images, names, places, registry
from slipway.settings import imagename

REGISTRY = "registry:2"
REPOSITORY = "slipway-lab-registry"
_MAKING = "slipway.stock"
"""Label of the registry that is being filled, and of its image."""
_STORAGE = "/var/lib/registry"
_DOCKERFILE = f"FROM {REGISTRY}\nCOPY storage {_STORAGE}\n"


def ensure(*, make: bool) -> str:
    """Return the image of a registry with the official images that are on the engine.

    Args:
        make: make it where there is none yet; otherwise the image of an empty registry is returned then.

    Raises:
        SlipwayError: the registry does not start or does not take them.
    """
    have = {name: found for name in images.STANDINS if (found := _id(name))}
    for other in (images.BASE, images.HOST, REGISTRY):
        have.pop(other, None)
    wanted = hashlib.sha256(repr((_id(REGISTRY), sorted(have.items()), _DOCKERFILE)).encode()).hexdigest()[:16]
    stocked = f"{REPOSITORY}:{wanted}"
    if _id(stocked):
        return stocked
    if not (have and make) or engine.by_sudo():  # by which its files would come out as root's
        return REGISTRY
    with places.lock("stock", among=places.of_user()):
        if not _id(stocked):
            with report.step("Stock a registry with official images, for this lab and later ones"):
                _make(stocked, list(have))
            # Those with other images in them; a young one may be about to start in another process.
            engine.docker("image", "prune", "--all", "--force", "--filter", f"label={_MAKING}", "--filter", "until=1h")
    return stocked


def _id(name: str) -> str:
    return engine.docker("image", "inspect", "--format", "{{.Id}}", name, check=False).out.strip()


def _make(stocked: str, official: list[str]) -> None:
    for left in _being_filled():  # by a process that was killed
        _remove(left)
    argv = ("--detach", "--label", f"{_MAKING}=", "--publish", "127.0.0.1::5000", REGISTRY)
    container = engine.docker("run", *argv).out.strip()
    try:
        port = engine.docker("port", container, "5000/tcp").out.strip().rpartition(":")[2]
        registry.wait(f"127.0.0.1:{port}")
        for name in official:
            parsed = imagename.parse(name)
            target = f"127.0.0.1:{port}/{parsed.path}:{parsed.tag}"
            engine.docker("tag", name, target)
            engine.docker("push", "--quiet", target)
        with tempfile.TemporaryDirectory(dir=places.home(), prefix="build-") as folder:
            engine.docker("cp", f"{container}:{_STORAGE}", Path(folder) / "storage")
            (Path(folder) / "Dockerfile").write_text(_DOCKERFILE)
            engine.docker("build", "--label", f"{names.MOVED}=", "--label", f"{_MAKING}=", "--tag", stocked, folder)
    finally:
        _remove(container)


def _being_filled() -> list[str]:
    return engine.docker("ps", "--all", "--quiet", "--filter", f"label={_MAKING}").out.split()


def _remove(container: str) -> None:
    pushed = containers.pushed(container)
    engine.docker("rm", "--force", "--volumes", container)
    if pushed:
        engine.docker("rmi", "--no-prune", *pushed, check=False)
