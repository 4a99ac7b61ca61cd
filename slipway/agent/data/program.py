"""Restic's program on a host, taken out of its image."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import tarfile
import threading
from pathlib import Path

from .. import engine
from ..failure import OperationFailed
from ..state import HOME

TOOLS = HOME / "tools"


def binary(image: str) -> Path:
    """Return restic's program, taken out of its image the first time; that is pulled where this host does not have it.

    Raises:
        OperationFailed: the image can't be pulled, or has none.
    """
    if not engine.has_image(image):
        engine.pull(image, None, lambda _: None)
    found = engine.api("GET", f"/images/{image}/json")
    path = TOOLS / f"restic-{found['Id'].rpartition(':')[2][:16]}"
    if not path.exists():
        _take_out(image, path)
    return path


def _take_out(image: str, path: Path) -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    code, made, err = engine.command(["docker", "create", "--pull", "never", image])
    if code != 0:
        raise OperationFailed(f"restic could not be taken out of {image}", err)
    try:
        with contextlib.suppress(OperationFailed):  # a lab's has none
            _copy_out(made.strip(), "/etc/ssl/certs/ca-certificates.crt", path.with_suffix(".pem"))
        _copy_out(made.strip(), "/usr/bin/restic", path)
    finally:
        engine.command(["docker", "rm", "--force", made.strip()])
    for old in TOOLS.glob("restic-*"):
        if re.fullmatch(r"restic-[0-9a-f]{16}", old.name) and old != path:
            old.unlink()


def _copy_out(container: str, source: str, path: Path) -> None:
    """Copy a file out of a container, whole or not at all."""
    argv = ["docker", "cp", "--follow-link", f"{container}:{source}", "-"]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode != 0:
        raise OperationFailed(f"{source} could not be copied out of the image", done.stderr.decode(errors="replace"))
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        file = archive.extractfile(archive.getmembers()[0])
        data = file.read() if file else b""
    new = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    new.write_bytes(data)
    new.chmod(0o755)
    new.replace(path)
