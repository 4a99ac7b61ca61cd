"""Where a checkout keeps what the lab needs: git-ignored `.slipway/`, private to its owner."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
"""The root of this checkout."""


def home() -> Path:
    """Return `.slipway/` of this checkout (made at first use, mode 0700)."""
    return private(CHECKOUT / ".slipway")


def of_user() -> Path:
    """Return the folder that all checkouts of this user share, as they share the engine and its images."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return private((Path(cache) if cache else Path.home() / ".cache") / "slipway")


def private(folder: Path) -> Path:
    """Make `folder` with mode 0700 if it is missing; return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file whole or not at all, even when killed half way. Who reads the one before goes on with that."""
    private(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            os.fchmod(handle, mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`, or None if it is missing or not JSON (a cache, that may be made anew)."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


@contextmanager
def lock(name: str, *, wait: bool = True, remove: bool = False, among: Path | None = None) -> Iterator[bool]:
    """Hold the checkout's lock `name`; it is freed with the process, however that ends. Yields whether it is held.

    Args:
        name: what is locked.
        wait: until others have freed it; else go on without it.
        remove: take the lock's file away at the end (what it was about is gone).
        among: the folder whose lock it is (default: the checkout's own, `home()`).
    """
    path = private((among or home()) / "lock") / f"{name.replace('/', '_')}.lock"
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if not _is_at(file.fileno(), path):  # its last holder took it away: that lock keeps nobody out
                continue
            try:
                yield True
            finally:
                if remove:
                    path.unlink(missing_ok=True)
            return


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
