"""Frozen hosts: the playbook's work, done once and kept as an image that later labs' hosts start from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from slipway import report
from slipway.lab import engine, images, names, places
from slipway.lab.state import LabHost

REPOSITORY = "slipway-lab-provisioned"
FROZEN = "slipway.frozen"
"""Label: the checkout whose lab a host was frozen in."""


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
    """
    name, mine = tag(), f"{FROZEN}={json.dumps(str(places.CHECKOUT))}"
    with report.step(f"Freeze {host.name}"):
        engine.docker("exec", host.container, "sync")
        engine.docker("commit", "--change", f"LABEL {mine} {names.MOVED}=", host.container, name)
    _sweep(name)
    return name


def _sweep(newest: str) -> None:
    """Remove frozen hosts that no lab will start from: earlier ones of this checkout, those of checkouts that are gone.

    What a container was started from stays as long as that.
    """
    listing = engine.docker("images", "--filter", f"label={FROZEN}", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY)
    for image in set(listing.out.split()) - {newest}:
        label = f'{{{{index .Config.Labels "{FROZEN}"}}}}'
        checkout = Path(engine.docker("image", "inspect", "--format", label, image).out.strip())
        if checkout == places.CHECKOUT or not checkout.is_dir():
            engine.docker("rmi", image, check=False)
