"""A restore on the host of the data, in steps that a run does one by one: look, load beside, save what is there, put in place.

What was loaded is compared with the manifest before anything that serves is touched. A run that is cut off anywhere leaves the old
data or the new ones of each database, and can be typed again. The lock of backups is held from the first step to the last.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import engine, gate
from ..failure import OperationFailed
from ..state import StackHome
from . import files, into_files, into_postgres, into_redis, keep, pod, postgres, redis, snapshots, swap_postgres
from .keep import Kept
from .questions import TABLES_SQL
from .restic import Repository
from .snapshots import SnapshotSet

_ANY_FILE = "find \"$1\" -name '.slipway-*' -prune -o -type f -print 2> /dev/null | head -n 1"

Targets = Mapping[str, Sequence[Mapping[str, str]]]
"""By service, for each kept path that is in a volume: `path`, `volume`, `mount`."""


@dataclasses.dataclass(frozen=True)
class Work:
    """One thing to restore: what it is, and what the manifest says of it."""

    kept: Kept
    part: Mapping[str, Any]

    @property
    def service(self) -> str:
        """Whose."""
        return self.kept.service


def choose(repository: Repository, wanted: str) -> SnapshotSet:
    """Return the set that is meant. Raises OperationFailed (bad input) where there is none of this stack."""
    done = repository.check("the repository can't be read", repository._list())
    told = json.loads(done.out or "[]") or []
    document = repository.document
    sets, _ = snapshots.sort_out(told, document.env, document.stack)
    found = snapshots.find(sets, wanted)
    if found:
        return found
    whose = next(
        (t for s in told if (t := snapshots.tags_of(s)).get("run", "").startswith(wanted) and t.get("run")), None
    )
    if whose and (whose.get("env"), whose.get("stack")) != (document.env, document.stack):
        what = f"the snapshot {wanted} is of {whose.get('stack')} in {whose.get('env')}, not of {document.stack}"
        raise OperationFailed(what, f"it would be restored to {document.env}", bad_input=True)
    seen = f"{len(sets)} backups of {document.stack} are there, the newest is {sets[-1].id if sets else 'none'}"
    what = "there is no backup yet" if wanted == "latest" else f"there is no backup {wanted}, or several begin so"
    raise OperationFailed(what, seen, bad_input=True)


def work(document: keep.Document, manifest: Mapping[str, Any], only: Sequence[str]) -> list[Work]:
    """Return what is to be restored: the parts of a set that the stack keeps today, or some services of these.

    Raises:
        OperationFailed: the set holds nothing of a service that was named (bad input).
    """
    kept = {(k.service, k.kind): k for k in document.kept}
    found = []
    for part in manifest["parts"]:
        mine = kept.get((part["service"], part["kind"]))
        if mine and part["kind"] != "configuration" and (not only or part["service"] in only):
            found.append(Work(_as_dumped(mine, part), part))
    lacking = sorted(set(only) - {w.service for w in found})
    if lacking or not found:
        seen = "it holds " + ", ".join(f"{p['service']} ({p['kind']})" for p in manifest["parts"])
        what = f"the backup {manifest['run']} holds nothing of {', '.join(lacking) or 'what this stack keeps'}"
        raise OperationFailed(what, seen, bad_input=True)
    return found


def _as_dumped(kept: Kept, part: Mapping[str, Any]) -> Kept:
    """Return what is kept with the tables that the dump was made of: a dump of some is no whole database."""
    if part["kind"] != "postgres" or not kept.tables:
        return kept
    return dataclasses.replace(kept, tables=tuple(part["tables"]))


def targets_of(work_: Work, targets: Targets) -> list[Mapping[str, str]]:
    """Return where files of a part go: the kept paths that are in volumes."""
    return [t for t in targets.get(work_.service, ()) if t["path"] in work_.part["paths"]]


def load(
    repository: Repository, todo: Sequence[Work], targets: Targets, progress: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    """Load everything beside what is there, side by side. Return what is wrong, and what is worth a word.

    Raises:
        OperationFailed: something could not be loaded.
    """
    with ThreadPoolExecutor(max(1, len(todo))) as pool:
        loading = [pool.submit(_load_one, repository, one, targets, progress) for one in todo]
    results = [done.result() for done in loading]
    return [f for found, _ in results for f in found], [w for _, words in results for w in words]


def _load_one(
    repository: Repository, one: Work, targets: Targets, progress: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    if one.kept.kind == "postgres":
        where = postgres.server(repository.home, one.kept)
        if _in_place(repository, one, where):
            return [], []
        into = into_postgres.beside(one.kept, into_postgres.NEW)
        return into_postgres.load(repository, one.kept, one.part, where, into, progress), []
    if one.kept.kind == "redis":
        store = into_redis.store(repository, one.kept)
        return into_redis.load(repository, one.kept, one.part, store, progress), []
    found = into_files.load(repository, one.kept, one.part, targets_of(one, targets), progress)
    return found, _image_words(repository, one, targets)


def _in_place(repository: Repository, one: Work, where: postgres.Server) -> bool:
    """Tell whether a database has to be written over in one transaction, since none can be made beside it."""
    if not one.kept.host:
        return False
    with postgres.talk(repository, where) as talking:
        into_postgres.refuse(talking, one.kept, one.part)
        return not into_postgres.may_swap(talking)


def _image_words(repository: Repository, one: Work, targets: Targets) -> list[str]:
    """Return words where the files of an image are others than those that were backed up."""
    paths = sorted(set(one.part["paths"]) - {t["path"] for t in targets_of(one, targets)})
    if not paths:
        return []
    try:
        image = files.container_of(repository.home, one.service)["Image"]
        different = into_files.in_image(repository, one.part, image, paths)
    except OperationFailed:
        return [
            f"{', '.join(paths)} of {one.service} come with its image: deploy the release that the backup was made with"
        ]
    return [f"{', '.join(paths)} of {one.service} come with its image, and differ: {different[0]}"] if different else []


def something(repository: Repository, one: Work, targets: Targets) -> bool:
    """Tell whether there is anything that a restore would write over."""
    if one.kept.kind == "postgres":
        where = postgres.server(repository.home, one.kept)
        with into_postgres.administrator(repository, where) as talking:
            if not into_postgres.exists(talking, one.kept.database):
                return False
            talking.connect(one.kept.database)
            return bool(json.loads(talking.ask(TABLES_SQL.replace("\n", " "))))
    if one.kept.kind == "redis":
        done = redis.job(repository, "look", one.kept).do(f"{redis.READ_PASSWORD}{redis.CLI} INFO keyspace")
        return "keys=" in repository.check(f"{one.service} does not answer", done).out
    found = False
    for target in targets_of(one, targets):
        volume = f"{target['volume']}:{target['mount']}:ro"
        done = repository.job("look", mounts=(volume,)).do(_ANY_FILE, target["path"])
        found = found or bool(done.out.strip())
    return found


def put_in_place(
    repository: Repository, todo: Sequence[Work], targets: Targets, progress: Callable[[str], None]
) -> list[str]:
    """Put what was loaded in the place of what is there, service by service. Return what was done, in words.

    Raises:
        OperationFailed: one could not be: those before it are restored, it and those after it are as they were.
    """
    done = []
    for one in todo:
        progress(f"{one.service} ({one.kept.kind})")
        if one.kept.kind == "postgres":
            where = postgres.server(repository.home, one.kept)
            if one.kept.tables or _in_place(repository, one, where):
                swap_postgres.replace(repository, one.kept, one.part, where)
                _drop_beside(repository, one, where)
            else:
                swap_postgres.swap(repository, one.kept, one.part, where)
            done.append(f"{one.service}: {len(one.part['tables'])} tables")
        elif one.kept.kind == "redis":
            where_ = into_redis.store(repository, one.kept)
            stopped = into_redis.stop(repository.home, one.service)
            into_redis.swap(repository, one.kept, where_)
            _start(repository.home, one.service, stopped, progress)
            done.append(f"{one.service}: {one.part['keys']} keys")
        elif targets_of(one, targets):
            stopped = into_redis.stop(repository.home, one.service)  # an accessory; apps have been stopped
            into_files.swap(repository, one.kept, targets_of(one, targets))
            _start(repository.home, one.service, stopped, progress)
            done.append(f"{one.service}: {len(one.part['files'])} files")
    (repository.home.path / "migrated.json").unlink(missing_ok=True)  # it was about the other data
    return done


def _start(home: StackHome, service: str, containers: Sequence[str], progress: Callable[[str], None]) -> None:
    """Start an accessory again and wait until it is healthy."""
    if not containers:
        return
    for container in containers:
        engine.api("POST", f"/containers/{container}/start")
    look = lambda: engine.containers(slipway_stack=home.stack, slipway_service=service, slipway_role="accessory")  # noqa: E731
    wanted = {"name": service, "replicas": 1, "start_within": 120.0, "port": 0, "ready": None}
    gate.await_healthy(look, [wanted], progress)


def _drop_beside(repository: Repository, one: Work, where: postgres.Server) -> None:
    with into_postgres.administrator(repository, where) as talking:
        for ending in (into_postgres.NEW, into_postgres.OLD):
            into_postgres.drop(talking, into_postgres.beside(one.kept, ending))


def tidy(repository: Repository, todo: Sequence[Work], targets: Targets) -> list[str]:
    """Remove what was loaded beside. Return what could not be removed, in words; the next restore tries again."""
    left = []
    for one in todo:
        try:
            if one.kept.kind == "postgres":
                where = postgres.server(repository.home, one.kept)
                if not _in_place(repository, one, where):
                    _drop_beside(repository, one, where)
            elif one.kept.kind == "redis":
                where_ = into_redis.store(repository, one.kept)
                into_redis.drop(repository, where_.volume, where_.folder, where_.image)
            else:
                into_files.clean(repository, targets_of(one, targets))
        except OperationFailed as error:
            left.append(f"{one.service}: {error.what}")
    return left


def refuse_full(todo: Sequence[Work]) -> None:
    """Raise OperationFailed where the disk has no room for what is loaded beside what is there."""
    import os

    if pod.NAME:
        return  # a volume does not tell another pod
    need = sum(w.part["bytes"] * (2 if w.kept.kind == "postgres" else 1.1) for w in todo if not w.kept.host)
    place = "/var/lib/docker" if os.path.isdir("/var/lib/docker") else "/var/lib"  # noqa: PTH112 - may not be readable
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    if free < need + 50e6:
        seen = f"{free / 1e6:.0f} MB are free on {place}, {need / 1e6 + 50:.0f} MB are needed beside what is there"
        raise OperationFailed("there is no room to restore", seen)
