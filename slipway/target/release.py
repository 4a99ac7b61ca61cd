"""What a release is called on any target: its version, and a digest of all that it is made of. Pure."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any


def release_id(version: str, content: Mapping[str, Any], secrets: Mapping[str, str], room: int) -> str:
    """Return the id of a release: its version and a digest of all that it is made of.

    The same version with other settings or secrets is another release; so is another version with equal digests.

    Args:
        version: as it is called.
        content: what the release is made of.
        secrets: its secrets' values (see `keyed_digest`).
        room: how many letters of the version the id may have.
    """
    name = re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")[:room].rstrip("-") or "v"
    return f"{name}-{keyed_digest({'version': version, 'content': content}, secrets)[:6]}"


def keyed_digest(content: Mapping[str, Any], secrets: Mapping[str, str]) -> str:
    """Return a digest (hex) of `content` and `secrets` that is told in public.

    The secrets go in as the key, and through scrypt, so that nobody who sees it tries words out.
    """
    key = _stretched(canonical(secrets)) if secrets else b""
    return hmac.new(key, canonical(content), hashlib.sha256).hexdigest()


@functools.lru_cache(maxsize=8)
def _stretched(secrets: bytes) -> bytes:
    """Return a key that takes a twentieth of a second to make: a verb makes it once, who guesses each time."""
    return hashlib.scrypt(secrets, salt=b"slipway", n=2**14, r=8, p=1)


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return the one way in which a value is written for a digest."""
    return json.dumps(content, sort_keys=True).encode()


def content_digest(content: Mapping[str, Any]) -> str:
    """Return a digest of what something is made of (hex)."""
    return hashlib.sha256(canonical(content)).hexdigest()
