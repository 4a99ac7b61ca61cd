"""Logs of containers that are removed: kept zipped below the stack's folder of logs, until they are old or the disk is full.

The engine removes a container's log with it. What a release that failed had to say, or the one before the last deploy, is asked
for just then.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import engine
from ..state import HOME, read_json, write_json
from . import files

FOLDER = HOME / "logs"
_LEVEL = 3
"""zlib's: three times as fast as the usual one, and the log is a fifth longer."""


def folder(stack: str) -> Path:
    """Return where the logs of a stack's removed containers are."""
    return FOLDER / stack


def log_of(container: dict[str, Any]) -> Path | None:
    """Return the file that a container's log (an inspection's) is written to; None where it has another driver."""
    path = container.get("LogPath")
    json_file = container.get("HostConfig", {}).get("LogConfig", {}).get("Type", "json-file") == "json-file"
    return Path(path) if path and json_file else None


@contextlib.contextmanager
def logs_of_removed(containers: list[dict[str, Any]]) -> Iterator[None]:
    """Keep the logs of those of these containers (inspections) that are gone after the block, with all they said in it.

    A log that can't be kept is lost, as it would be without this: whatever removes containers goes on.
    """
    opened = [(c, _open(c)) for c in containers]
    try:
        yield
    finally:
        for container, found in opened:
            with contextlib.suppress(Exception):
                if found and engine.api("GET", f"/containers/{container['Id']}/json") is None:
                    _keep(container, found)
            for file in found:
                file.close()


def _open(container: dict[str, Any]) -> list[files.File]:
    path = log_of(container)
    with contextlib.suppress(OSError):
        return files.open_all(path) if path else []
    return []


def _keep(container: dict[str, Any], found: list[files.File]) -> None:
    labels = container["Config"]["Labels"]
    name = container["Name"].lstrip("/")
    target = folder(labels["slipway.stack"]) / f"{name}-{container['Id'][:12]}.gz"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".writing-{target.name}")
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o640)
            for one in found:
                _append(file, one)
        if temporary.stat().st_size <= _EMPTY:
            return
        meta = {
            "service": labels.get("slipway.service", ""),
            "release": labels.get("slipway.release", ""),
            "container": name,
            "from": container.get("Created", ""),
            "until": _last_time(found[-1]),
        }
        write_json(target.with_suffix(".json"), meta)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


_EMPTY = 30
"""Bytes of a zipped file without a line."""


def _append(target: Any, file: files.File) -> None:
    """Append a file, zipped; what is zipped stays as it is: several of them one after the other are one."""
    at = 0
    zipper = None if file.zipped else zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    while chunk := os.pread(file.descriptor, files.BLOCK, at):
        at += len(chunk)
        target.write(zipper.compress(chunk) if zipper else chunk)
    if zipper:
        target.write(zipper.flush())


def _last_time(file: files.File) -> str:
    if file.zipped:
        return ""
    size = os.fstat(file.descriptor).st_size
    data = os.pread(file.descriptor, min(size, 1 << 16), max(0, size - (1 << 16)))
    return files.time_of(data)


def kept(stack: str) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield what is known of each log that is kept of a stack, and where it is."""
    for path in sorted(folder(stack).glob("*.gz")):
        meta = read_json(path.with_suffix(".json"))
        if isinstance(meta, dict):
            yield meta, path


def remove(path: Path) -> int:
    """Remove a log that was kept. Return its size."""
    size = path.stat().st_size
    path.unlink()
    path.with_suffix(".json").unlink(missing_ok=True)
    return size


def all_kept() -> list[tuple[float, int, Path]]:
    """Return time, size and path of every log that is kept on this host, oldest first."""
    found = []
    for path in FOLDER.glob("*/*.gz"):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            found.append((state.st_mtime, state.st_size, path))
    return sorted(found)
