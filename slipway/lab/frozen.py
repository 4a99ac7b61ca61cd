"""Frozen hosts: the playbook's work, done once and kept as an image that later labs' hosts start from.

One for each playbook, and one more for each environment that such hosts were provisioned for: they need no provisioning at all.
"""

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
_NOTES = ("environment.json", "freeze.json", "releases", "accessories", "backup")
"""What a run, or who freezes deploys, leaves of a stack. (A lease that was held leaves nothing that matters to other labs.)"""
KEEP = 16
"""Most frozen hosts of one playbook that are kept, each some megabytes beside the first."""


def tag(checkout: Path = places.CHECKOUT) -> str:
    """Return the image of a host that today's playbook provisioned: named by the hash of `ansible/` and the host."""
    digest = hashlib.sha256(images.recipe_hash(images.HOST).encode())
    for path in sorted((checkout / "ansible").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(checkout)}\0".encode() + path.read_bytes())
    return f"{REPOSITORY}:{digest.hexdigest()[:16]}"


def lookup(settings: str = "") -> str | None:
    """Return the image on the engine that is nearest to a host provisioned with `settings`, or None.

    Args:
        settings: digest of what a host is provisioned with (`slipway.host.inventory.digest`); "": whatever it was.
    """
    return next((name for name in (_tag_of(settings), tag()) if _there(name)), None)


def freeze(host: LabHost, settings: str = "") -> None:
    """Keep a provisioned host's files as the image that `up(kind="provisioned")` starts from, unless there is one.

    What is in /var/lib/docker stays behind; host keys and ids are made anew by each host that starts from it. Nothing is done
    where something was deployed to the host already.

    Args:
        host: the host.
        settings: digest of what it was provisioned with; "": a later host starts from it and is provisioned all the same.
    """
    wanted = dict.fromkeys((_tag_of(settings), tag()))
    if all(map(_there, wanted)) or _used(host):
        return
    mine = f"{FROZEN}={json.dumps(str(places.CHECKOUT))}"
    with places.lock("freeze", among=places.of_user()), report.step(f"Freeze {host.name}"):
        missing = [name for name in wanted if not _there(name)]
        if not missing:  # another process made it while we waited
            return
        engine.docker("exec", host.container, "sync")
        engine.docker("commit", "--change", f"LABEL {mine} {names.MOVED}=", host.container, missing[0])
        for name in missing[1:]:
            engine.docker("tag", missing[0], name)
        _sweep(tag())


def _tag_of(settings: str) -> str:
    return f"{tag()}-{settings[:16]}" if settings else tag()


def _there(image: str) -> bool:
    return engine.docker("image", "inspect", "--format", "{{.Id}}", image, check=False).code == 0


def _used(host: LabHost) -> bool:
    """Tell whether a host has had containers, or what a run leaves of a stack: that is more than the playbook's work."""
    notes = " ".join(f"/var/lib/slipway/stacks/*/{name}" for name in _NOTES)
    look = f"docker ps --all --quiet && {{ ls -d {notes} 2>/dev/null; true; }}"
    done = engine.docker("exec", host.container, "sh", "-c", look, check=False)
    return done.code != 0 or bool(done.out.strip())


def _sweep(newest: str) -> None:
    """Remove frozen hosts that no lab will start from: earlier ones of this checkout, those of checkouts that are gone.

    What a container was started from stays as long as that. Those of today's playbook stay, the newest `KEEP` of them.
    """
    listing = engine.docker("images", "--filter", f"label={FROZEN}", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY)
    found = list(dict.fromkeys(listing.out.split()))  # the newest first
    todays = [image for image in found if image.startswith(f"{newest}-")]
    if todays[KEEP:]:
        engine.docker("rmi", *todays[KEEP:], check=False)
    for image in set(found) - {newest, *todays}:
        label = f'{{{{index .Config.Labels "{FROZEN}"}}}}'
        checkout = Path(engine.docker("image", "inspect", "--format", label, image).out.strip())
        if checkout == places.CHECKOUT or not checkout.is_dir():
            engine.docker("rmi", image, check=False)
