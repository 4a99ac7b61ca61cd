"""What a lab's parts are called and labelled. Names hold the checkout's hash: each checkout has labs of its own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from slipway.errors import BadInput
from slipway.lab import places

LAB, CHECKOUT, OWNER, MOVED = "slipway.lab", "slipway.checkout", "slipway.owner", "slipway.moved"
"""Labels: which lab, which checkout, which process it belongs to, which host an image was moved from."""
DATA = "slipway.lab.data"
"""Label in place of `LAB` on what outlives a lab: its backups."""


def lab_id(lab: str, checkout: Path = places.CHECKOUT) -> str:
    """Return the id of a lab on this machine: six hex digits of its checkout's path, then its name.

    Raises:
        BadInput: the name is not lower-case letters, digits and hyphens, or too long for a host name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", lab):
        raise BadInput(f"{lab!r} is no name for a lab", todo="use up to 31 lower-case letters, digits and hyphens")
    return f"{hashlib.sha256(str(checkout).encode()).hexdigest()[:6]}-{lab}"


def part(lab: str, name: str) -> str:
    """Return the name of a lab's container, network or volume on the engine."""
    return f"slipway-{lab_id(lab)}-{name}"


def labels(lab: str, owner: str) -> list[str]:
    """Return the options that label a part of a lab."""
    values = {LAB: lab_id(lab), CHECKOUT: str(places.CHECKOUT), OWNER: owner}
    return [word for key, value in values.items() for word in ("--label", f"{key}={value}")]


def backups(lab: str) -> str:
    """Return the name of the volume that a lab's hosts keep backups in; it outlives them."""
    return part(lab, "backups")


def backup_labels(lab: str, owner: str) -> list[str]:
    """Return the options that label that volume."""
    return [word.replace(f"{LAB}=", f"{DATA}=", 1) for word in labels(lab, owner)]
