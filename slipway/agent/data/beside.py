"""A restore beside what is there: another database on the same server, other volumes. For looking, and for taking single rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import engine
from ..failure import OperationFailed
from . import into_files, into_postgres, into_redis, keep, pod, postgres
from .restic import Repository


def restore(
    repository: Repository,
    kept: keep.Kept,
    part: Mapping[str, Any],
    targets: Sequence[Mapping[str, str]],
    name: str,
    progress: Callable[[str], None],
) -> tuple[list[str], list[str]]:
    """Restore one thing beside the original.

    Args:
        repository: where the backup is.
        kept: what.
        part: what the manifest says of it.
        targets: for files: where the originals are.
        name: the database's; part of the volumes' names.
        progress: told how far it is.

    Returns:
        What is not as the manifest says, and what was made, in words.

    Raises:
        OperationFailed: there is something of that name, or it could not be restored.
    """
    if kept.kind == "postgres":
        return _database(repository, kept, part, name, progress)
    if pod.NAME and (kept.kind == "redis" or targets):
        seen = f"on a cluster databases are restored beside, and no volumes; {kept.service} keeps its data in one"
        raise OperationFailed(
            f"{kept.service} can't be restored beside", f"{seen}: name the others by --only", bad_input=True
        )
    if kept.kind == "redis":
        store = into_redis.store(repository, kept)
        volume = _make(repository, f"{name}-{kept.service}")
        copy = into_redis.Store(store.image, f"{volume}:{store.folder}", store.folder, store.names)
        found = into_redis.load(repository, kept, part, copy, progress)
        into_redis.swap(repository, kept, copy)
        return found, [f"{kept.service}: volume {volume}"]
    volumes = {t["volume"]: _make(repository, f"{name}-{re.split('[-/]', t['volume'])[-1]}") for t in targets}
    copies = [{**t, "volume": volumes[t["volume"]]} for t in targets]
    found = into_files.load(repository, kept, part, copies, progress)
    into_files.swap(repository, kept, copies)
    inside = sorted(set(part["paths"]) - {t["path"] for t in targets})
    words = [f"{kept.service}: volume {volume}" for volume in dict.fromkeys(volumes.values())]
    return found, words + [f"{path} of {kept.service} comes with its image and was left out" for path in inside]


def _database(
    repository: Repository, kept: keep.Kept, part: Mapping[str, Any], name: str, progress: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    where = postgres.server(repository.home, kept)
    with into_postgres.administrator(repository, where) as talking:
        if into_postgres.exists(talking, name):
            seen = "drop it first, or choose another name"
            raise OperationFailed(f"{kept.service} has a database {name} already", seen, bad_input=True)
    found = into_postgres.load(repository, kept, part, where, name, progress)
    return found, [f"{kept.service}: database {name}"]


def _make(repository: Repository, name: str) -> str:
    """Make a volume of the stack, and return its name. Raises OperationFailed where there is one already."""
    volume = f"slipway-{repository.home.stack}-{name}"
    if engine.api("GET", f"/volumes/{volume}"):
        raise OperationFailed(f"there is a volume {volume} already", "choose another name", bad_input=True)
    engine.api("POST", "/volumes/create", {"Name": volume, "Labels": {"slipway.stack": repository.home.stack}})
    return volume
