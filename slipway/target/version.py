"""Which version a deploy is to bring; the same on every target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """Which version is wanted.

    Args:
        name: as typed (None: the tree's own).
        build: build the tree under that name.
        images: digests by service: exactly these, whatever the registry has under that name now.
    """

    name: str | None = None
    build: bool = False
    images: Mapping[str, str] | None = None
