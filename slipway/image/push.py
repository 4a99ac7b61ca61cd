"""Push an image with the registry's own credentials, which the docker command finds in a file for this call only."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from slipway.image.registry import RegistryClient


def push(reference: str, client: RegistryClient, password: str | None, say: Callable[[str], None]) -> None:
    """Push an image. Without a user and a password the docker command's own login counts.

    Args:
        reference: the image on the engine, named as in the registry.
        client: the registry.
        password: of the registry's user.
        say: told what docker says.

    Raises:
        SlipwayError: the registry does not take it, or it is not on the engine.
    """
    from slipway.lab import engine

    with _login(client.host, client.registry.username, password) as variables:
        done = engine.docker(
            "push", reference, check=False, env=variables, on_line=lambda line: say(f"push {line[:80]}")
        )
    if done.code != 0:
        raise SlipwayError("the image could not be pushed", where=reference, seen=done.tail(5))


@contextmanager
def _login(host: str, user: str | None, password: str | None) -> Iterator[dict[str, str]]:
    """Give the variables that make docker use these credentials, from a private folder that goes with the block."""
    if not user or not password:
        yield {}
        return
    from slipway.lab import engine, places

    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with _folder() as folder:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        config: dict[str, Any] = {"auths": {host: {"auth": auth}}}
        if not engine.by_sudo() and (own / "contexts").is_dir():
            # The same engine as ever: which one that is (`docker context use`) is part of a person's configuration.
            (folder / "contexts").symlink_to((own / "contexts").resolve())
            config |= {k: v for k, v in _read(own / "config.json").items() if k == "currentContext"}
        places.write(folder / "config.json", json.dumps(config))
        yield {"DOCKER_CONFIG": str(folder)}


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder (mode 0700) for the block; first remove those of pushes that were killed before they could."""
    from slipway.lab import places

    logins = places.private(places.home() / "login")
    with places.lock("login"):  # a folder that is not locked yet is nobody's to remove
        for left in logins.iterdir():
            _remove_if_left(left)
        folder = Path(tempfile.mkdtemp(dir=logins))
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)  # freed with the process, however that ends
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _remove_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):  # gone by now, or locked: its push goes on
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(handle)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
