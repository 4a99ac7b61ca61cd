"""Frozen hosts: the playbook's work, done once and kept as an image that later labs' hosts start from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slipway import report
from slipway.lab import engine, images, names, places
from slipway.lab.state import LabHost

REPOSITORY = "slipway-lab-provisioned"


def tag(checkout: Path = places.CHECKOUT) -> str:
    """Return the image of a host that today's playbook provisioned: named by the hash of `ansible/` and the host."""
    digest = hashlib.sha256(images.recipe_hash(images.HOST).encode())
    for path in sorted((checkout / "ansible").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:16]}"


def lookup() -> str | None:
    """Return that image if it is on the engine, else None."""
    name = tag()
    return name if engine.docker("image", "inspect", "--format", "{{.Id}}", name, check=False).code == 0 else None


def freeze(host: LabHost) -> str:
    """Keep a provisioned host's files as the image that `up(kind="provisioned")` starts from; return its name.

    What is in /var/lib/docker stays behind; host keys and ids are made anew by each host that starts from it.
    Images of earlier playbooks of this checkout go.
    """
    name, mine = tag(), f"slipway.frozen={hashlib.sha256(str(places.CHECKOUT).encode()).hexdigest()[:12]}"
    with report.step(f"Freeze {host.name}"):
        engine.docker("exec", host.container, "sync")
        engine.docker("commit", "--change", f"LABEL {mine} {names.MOVED}=", host.container, name)
    listing = engine.docker("images", "--filter", f"label={mine}", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY)
    for old in set(listing.out.split()) - {name}:
        engine.docker("rmi", old, check=False)
    return name
