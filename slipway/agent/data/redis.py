"""A Redis server: its RDB file, which the server streams as to a replica, checked as it is read back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..failure import OperationFailed
from . import keep
from .postgres import PASSWORD, accessory
from .restic import Repository, Watch, host

_READ_PASSWORD = f'if [ -e {PASSWORD} ]; then REDISCLI_AUTH="$(cat {PASSWORD})"; export REDISCLI_AUTH; fi\n'


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
    container = accessory(repository.home, kept.service)
    path = repository.home.accessories / "secrets" / kept.password if kept.password else None
    mounts = (f"{path}:{PASSWORD}:ro",) if path and path.exists() else ()
    network = f"container:{container['Id']}"
    job = repository.job("redis", image=container["Image"], network=network, mounts=mounts)
    script = (
        f'{_READ_PASSWORD}{job.restic} backup --json --retry-lock 2m --host "$3" --tag "$1" --stdin-filename "$2"'
        " --stdin-from-command -- redis-cli -h 127.0.0.1 --rdb - || exit $?\n"
        f'echo; {job.restic} dump --no-lock --tag "$1" latest "$2" 2> /tmp/read | redis-check-rdb /dev/stdin'
        " || { code=$?; cat /tmp/read >&2; exit $code; }\n"
    )
    said: list[str] = []
    watch = Watch(progress, said.append)
    done = job.do(script, tags, kept.file, host(repository.document)[1], line=watch)
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
        "image": container["Image"],
        "keys": int(keys[1]),
        "server": version[1] if version else "",
    }
