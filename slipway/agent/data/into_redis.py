"""A Redis server's data back into its volume: loaded by a throw-away server of the same image beside what is there, then moved.

That server writes what the real one will read: its append-only file too, where that has one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import engine
from ..failure import OperationFailed
from ..state import StackHome
from . import keep, pod, redis
from .moving import CLEAN, NEW, RECOVER, SWAP
from .postgres import accessory
from .restic import Repository

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")

_CONFIG = ("dbfilename", "appendonly", "appenddirname", "appendfilename")

_LOAD = """
new=$1; id=$2; file=$3; rdb=$4; aof=$5; dirname=$6; name=$7
recover "$(dirname "$new")"
rm -rf "$new"; mkdir -p "$new"
%(restic)s dump --no-lock "$id" "$file" > "$new/$rdb" 2> /tmp/read || { cat /tmp/read >&2; exit 1; }
echo "slipway bytes $(wc -c < "$new/$rdb")"
redis-check-rdb "$new/$rdb"
if [ "$(id -u)" = 0 ]; then
    chown -R --reference="$(dirname "$new")" "$new" 2> /dev/null || chown -R "$(stat -c %%u:%%g "$(dirname "$new")")" "$new"
fi
set -- redis-server --port 0 --unixsocket /tmp/socket --dir "$new" --dbfilename "$rdb" --appendonly no --save '' --daemonize no
[ -z "$dirname" ] || set -- "$@" --appenddirname "$dirname"
[ -z "$name" ] || set -- "$@" --appendfilename "$name"
if command -v docker-entrypoint.sh > /dev/null; then
    cd "$new"; docker-entrypoint.sh "$@" > /tmp/server 2>&1 &
else
    "$@" > /tmp/server 2>&1 &
fi
server=$!
say() { redis-cli -s /tmp/socket "$@"; }
until [ "$(say PING 2> /dev/null)" = PONG ]; do
    [ -d /proc/$server ] || { tail -n 20 /tmp/server >&2; exit 1; }
    sleep 0.1
done
echo "slipway keys $(say INFO keyspace | sed -n 's/.*keys=\\([0-9]*\\).*/\\1/p' | awk '{ n += $1 } END { print n + 0 }')"
if [ "$aof" = yes ]; then
    say CONFIG SET appendonly yes > /dev/null
    while say INFO persistence | grep -Eq 'aof_rewrite_(in_progress|scheduled):1'; do sleep 0.1; done
    say INFO persistence | grep -q 'aof_last_bgrewrite_status:ok' || { tail -n 20 /tmp/server >&2; exit 1; }
fi
say SHUTDOWN NOSAVE > /dev/null 2>&1 || :
wait $server || :
"""


@dataclass(frozen=True)
class Store:
    """Where a Redis server keeps its data: volume and folder, and by which names."""

    image: str
    volume: str
    folder: str
    names: Mapping[str, str]


def store(repository: Repository, kept: keep.Kept, container: dict[str, Any] | None = None) -> Store:
    """Return where a running server (default: the stack's) keeps its data. Raises OperationFailed where it does not run."""
    home = repository.home
    container = container or accessory(home, kept.service)
    if container["Id"] in repository.stores:
        found: Store = repository.stores[container["Id"]]
        return found
    job = redis.job(repository, "config", kept, container)
    script = f"{redis.READ_PASSWORD}for key in dir {' '.join(_CONFIG)}; do {redis.CLI} CONFIG GET $key; done"
    done = repository.check(f"{kept.service} does not tell its configuration", job.do(script))
    words = done.out.split("\n")
    told = {words[i]: words[i + 1] for i in range(0, len(words) - 1) if words[i] in ("dir", *_CONFIG)}
    if "dir" not in told:
        raise OperationFailed(f"{kept.service} does not tell its configuration", done.out.strip(), service=kept.service)
    folder = told.pop("dir")
    of = [m for m in container["Mounts"] if f"{folder}/".startswith(m["Destination"].rstrip("/") + "/")]
    if not of:
        raise OperationFailed(f"{kept.service} keeps its data in no volume", folder, service=kept.service)
    mount = max(of, key=lambda m: len(m["Destination"]))
    made = Store(container["Image"], f"{mount.get('Name') or mount['Source']}:{mount['Destination']}", folder, told)
    repository.stores[container["Id"]] = made
    return made


def load(
    repository: Repository,
    kept: keep.Kept,
    part: Mapping[str, Any],
    where: Store,
    progress: Callable[[str], None],
) -> list[str]:
    """Load a dump beside what is there; return what is not as the manifest says.

    Args:
        repository: the dump's.
        kept: whose.
        part: what the manifest says of the dump.
        where: where the data go.
        progress: told how far it is.

    Raises:
        OperationFailed: the dump can't be read, or this server's version does not take it.
    """
    progress(f"{kept.service} {part['bytes'] / 1e6:.0f} MB")
    job = repository.job("load", image=where.image, mounts=(where.volume,), capabilities=CAPABILITIES)
    names = [where.names.get(key, "") for key in _CONFIG]
    rdb, aof, folder, file = names[0] or "dump.rdb", names[1], names[2], names[3]
    said: list[str] = []
    done = job.do(
        RECOVER + _LOAD % {"restic": job.restic},
        f"{where.folder}/{NEW}", str(part["snapshot"]), str(part["file"]), rdb, aof, folder, file, line=said.append,
    )  # fmt: skip
    text = "".join(said)
    if done.code:
        done.err += text[-500:]
    repository.check(f"the dump of {kept.service} could not be restored", done)
    return _compare(kept, part, text)


def _compare(kept: keep.Kept, part: Mapping[str, Any], text: str) -> list[str]:
    found = []
    numbers = {key: int(value) for key, value in re.findall(r"slipway (\w+) (\d+)", text)}
    read = {
        word: int(number) for number, word in re.findall(r"\[info\] (\d+) (keys read|expires|already expired)", text)
    }
    if numbers.get("bytes") != part["bytes"]:
        found.append(f"{kept.service}: {numbers.get('bytes')} bytes, {part['bytes']} were backed up")
    if read.get("keys read") != part["keys"]:
        found.append(f"{kept.service}: {read.get('keys read')} keys in the dump, {part['keys']} were backed up")
    elif not part["keys"] - read.get("expires", 0) <= numbers.get("keys", -1) <= part["keys"]:
        found.append(f"{kept.service} has {numbers.get('keys')} keys, {part['keys']} were backed up")
    return found


def swap(repository: Repository, kept: keep.Kept, where: Store) -> None:
    """Put what was loaded in the place of what is there. The server must not run. Raises OperationFailed."""
    job = repository.job("swap", image=where.image, mounts=(where.volume,), capabilities=CAPABILITIES, network="none")
    repository.check(f"the data of {kept.service} could not be put in place", job.do(SWAP, where.folder))


def drop(repository: Repository, volume: str, folder: str, image: str) -> None:
    """Remove what a restore that failed has loaded into a volume. Raises OperationFailed."""
    job = repository.job("drop", image=image, mounts=(volume,), capabilities=CAPABILITIES, network="none")
    repository.check("what was loaded could not be removed", job.do(CLEAN, folder))


def stop(home: StackHome, service: str) -> list[str]:
    """Stop an accessory's containers, each with its grace period; return their ids."""
    if pod.NAME:
        return []  # whoever restores has stopped it
    found = engine.containers(slipway_stack=home.stack, slipway_service=service, slipway_role="accessory")
    for container in found:
        engine.api("POST", f"/containers/{container['Id']}/stop", timeout=3700)
    return [c["Id"] for c in found]
