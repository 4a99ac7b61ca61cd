"""A Redis server: its RDB file, which the server streams as to a replica, checked as it is read back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..failure import OperationFailed
from . import keep, pod
from .container import PASSWORD, Job
from .postgres import accessory
from .restic import Repository, Watch, host

READ_PASSWORD = (
    f'secret=${{{pod.WHERE_IT_OPENS}:-{PASSWORD}}}; if [ -e "$secret" ]; then REDISCLI_AUTH="$(cat "$secret")"'
    "; export REDISCLI_AUTH; fi\n"
)
CLI = 'redis-cli -h "${REDIS_HOST:-127.0.0.1}" -p "${REDIS_PORT:-6379}"'


def job(repository: Repository, name: str, kept: keep.Kept, container: dict[str, Any] | None = None) -> Job:
    """Return a container that speaks with a server (default: the stack's), by `CLI`. Raises as `accessory`."""
    container = container or accessory(repository.home, kept.service)
    if pod.NAME:
        address, port = pod.where(kept.service)
        mounts = (f"{pod.GIVEN}/database-{kept.password}:{PASSWORD}:ro",) if kept.password else ()
        variables = {"REDIS_HOST": address, "REDIS_PORT": port}
        return repository.job(name, image=container["Image"], mounts=mounts, variables=variables)
    path = repository.home.accessories / "secrets" / kept.password if kept.password else None
    mounts = (f"{path}:{PASSWORD}:ro",) if path and path.exists() else ()
    return repository.job(name, image=container["Image"], network=f"container:{container['Id']}", mounts=mounts)


def dump(repository: Repository, kept: keep.Kept, tags: str, progress: Callable[[int], None]) -> dict[str, Any]:
    """Store the server's data; return its part of the manifest.

    Args:
        repository: where.
        kept: what.
        tags: of the snapshot.
        progress: told the bytes that were read so far.

    Raises:
        OperationFailed: the server does not answer, the dump failed, or its checksum is wrong as it is read back.
    """
    speaking = job(repository, "redis", kept)
    script = (
        f'{READ_PASSWORD}{speaking.restic} backup --json --retry-lock 2m --host "$3" --tag "$1" --stdin-filename "$2"'
        f" --stdin-from-command -- {CLI} --rdb - || exit $?\n"
        f'echo; {speaking.restic} dump --no-lock --tag "$1" latest "$2" 2> /tmp/read | redis-check-rdb /dev/stdin'
        " || { code=$?; cat /tmp/read >&2; exit $code; }\n"
    )
    said: list[str] = []
    watch = Watch(progress, said.append)
    done = speaking.do(script, tags, kept.file, host(repository.document)[1], line=watch)
    what = (
        f"the dump of {kept.service} failed" if not watch.summary else f"the dump of {kept.service} can't be read back"
    )
    if watch.summary and said:
        done.err += "".join(said[-5:])
    repository.check(what, watch.with_errors(done))
    summary, text = watch.ended(done), "".join(said)
    keys = re.search(r"\[info\] (\d+) keys read", text)
    version = re.search(r"redis-ver = '([^']*)'", text)
    if not keys or "Checksum OK" not in text:
        raise OperationFailed(f"the dump of {kept.service} can't be read back", text[-500:], service=kept.service)
    return {
        "snapshot": summary["snapshot_id"],
        "bytes": summary["total_bytes_processed"],
        "added": summary["data_added_packed"],
        "file": kept.file,
        "image": speaking.image,
        "keys": int(keys[1]),
        "server": version[1] if version else "",
    }
