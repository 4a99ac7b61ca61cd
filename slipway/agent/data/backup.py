"""A backup: everything that a stack keeps, dumped, checked, and only then told as a set. The timer's and a person's are the same.

A set counts once its manifest is stored, which comes last. Whatever ends a run before that leaves snapshots that nobody is offered,
and that the next run forgets.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import failure, router
from ..failure import OperationFailed
from ..state import StackHome, append_line, now
from . import copies, files, glance, keep, lock, pod, postgres, redis, retention, snapshots
from .container import note
from .lock import Who
from .restic import Repository
from .snapshots import SnapshotSet

Progress = Callable[[str], None]
_DUMPS = {"postgres": postgres.dump, "redis": redis.dump, "files": files.dump, "configuration": files.dump}
_MB = 1e6


def run(
    home: StackHome,
    who: Who,
    *,
    only: Sequence[str] = (),
    scope: str = "full",
    any_size: bool = False,
    wait: float = 0.0,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Make a backup.

    Args:
        home: the stack's folder.
        who: who asked.
        only: services; () is all that the stack keeps.
        scope: `full`, or `safety`: what is there before a restore writes over it.
        any_size: accept parts that are much smaller than the last set's.
        wait: seconds to wait for another backup of this stack.
        progress: told what is done, with bytes and rate.

    Returns:
        `{set, seconds, pruned, copies: [{url, ok, seen}], warnings}`; the set as `SnapshotSet.document` has it.

    Raises:
        OperationFailed: no set was made; what was there before is as it was. Or another one is at work.
    """
    begun = time.monotonic()
    with lock.alone(home, who, wait, progress) as repository:
        entry: dict[str, Any] = {"verb": who.verb, "by": who.by, "outcome": "interrupted"}
        try:
            made = take(repository, only=only, scope=scope, any_size=any_size, progress=progress)
            result = {"set": made.document(), **_after(repository, progress)}
            failed = [c["url"] for c in result["copies"] if not c["ok"]]
            entry["outcome"] = f"failed: {made.id} was not copied to {', '.join(failed)}" if failed else "done"
            entry |= {"set": made.id, "bytes": made.size, "added": made.added}
            entry |= {"exit_code": 1} if failed else {}
        except OperationFailed as error:
            entry |= {"outcome": f"failed: {error.what}", "exit_code": 1}
            raise
        finally:
            entry["seconds"] = round(time.monotonic() - begun, 1)
            append_line(home.ledger, {"at": now(), **entry})
            note(home, "last.json", {"at": now(), **entry})
        return {**result, "seconds": entry["seconds"]}


def take(
    repository: Repository, *, only: Sequence[str] = (), scope: str = "full", any_size: bool = False, progress: Progress
) -> SnapshotSet:
    """Make a set under the lock that the caller holds. Arguments and errors as `run`'s."""
    home, document = repository.home, repository.document
    kept = [k for k in document.kept if not only or k.service in only]
    unknown = sorted(set(only) - {k.service for k in document.kept})
    if unknown or not kept:
        seen = f"it keeps {', '.join(sorted({k.service for k in document.kept})) or 'nothing'}"
        raise OperationFailed(f"{home.stack} keeps nothing of {', '.join(unknown)}", seen, bad_input=True)
    progress("opening the repository")
    sets, half = snapshots.sort_out(repository.ensure(), document.env, document.stack)
    if half:
        progress("forgetting half a set")
        repository.forget(half, prune=False)
    tags = {
        "env": document.env, "stack": document.stack, "run": repository.run_name, "seq": str(snapshots.next_number(sets)),
        "scope": "partial" if only and scope == "full" else scope, "release": _serving(home),
    }  # fmt: skip
    parts = _parts(repository, kept, tags, progress)
    if scope != "safety" and not any_size:
        _refuse_small(document, parts, sets)
    progress("checking the repository")
    manifest = {**tags, "seq": int(tags["seq"]), "at": now(), "parts": parts}
    made = _commit(repository, tags, manifest)
    if tags["scope"] == "full":
        note(home, "good.json", {"at": now(), "set": made.id, "bytes": made.size, "repository": document.repository})
    return made


def _serving(home: StackHome) -> str:
    """Return the release that gets requests, "" where none does or the router does not tell."""
    if pod.NAME:
        return pod.release()
    with contextlib.suppress(OperationFailed, OSError):
        return next(iter(sorted(router.sends_to(home.stack))), "")
    return ""


def _parts(
    repository: Repository, kept: Sequence[keep.Kept], tags: dict[str, str], progress: Progress
) -> list[dict[str, Any]]:
    """Dump what is kept. Redis makes whoever asks wait for five seconds: its dumps run beside the others."""

    def one(thing: keep.Kept) -> dict[str, Any]:
        told = snapshots.tagged(**tags, service=thing.service, kind=thing.kind)
        part = _DUMPS[thing.kind](repository, thing, told, _rate(thing.service, progress))
        if not part["bytes"]:
            raise OperationFailed(f"the dump of {thing.service} is empty", service=thing.service)
        return {"service": thing.service, "kind": thing.kind, **part}

    beside = [k for k in kept if k.kind == "redis"]
    with ThreadPoolExecutor(max(1, len(beside))) as pool:
        waiting = [pool.submit(one, k) for k in beside]
        parts = [one(k) for k in kept if k.kind != "redis"]
        return parts + [w.result() for w in waiting]


def _rate(service: str, progress: Progress) -> Callable[[int], None]:
    """Return what tells how many bytes were read, and how many a second by now."""
    begun = last = time.monotonic()
    before = 0

    def tell(read: int) -> None:
        nonlocal last, before
        now_ = time.monotonic()
        if now_ - last >= 0.5:
            rate = (read - before) / (now_ - last)
            progress(f"{service} {read / _MB:.0f} MB, {rate / _MB:.0f} MB/s ({now_ - begun:.0f} s)")
            last, before = now_, read

    return tell


def _refuse_small(document: keep.Document, parts: Sequence[dict[str, Any]], sets: Sequence[SnapshotSet]) -> None:
    """Raise OperationFailed where a part is much smaller than the last set's. A queue's or a cache's size says nothing."""
    for part in parts:
        if part["kind"] not in ("postgres", "files"):
            continue
        judged = [s for s in sets if s.scope != "safety" and s.part(part["service"], part["kind"])]
        last = judged[-1].part(part["service"], part["kind"]) if judged else None
        if last and part["bytes"] < last.size * document.least / 100:
            seen = (
                f"{part['bytes']} bytes, {last.size} in {judged[-1].id}; less than {document.least:g} % is not believed"
            )
            what = f"the dump of {part['service']} is much smaller than the last one"
            raise OperationFailed(what, f"{seen}; --any-size accepts it", service=part["service"])


def _commit(repository: Repository, tags: dict[str, str], manifest: dict[str, Any]) -> SnapshotSet:
    """Store the manifest, which makes the parts a set, and return that as the repository tells it."""
    import json

    parts = manifest["parts"]
    words = snapshots.tagged(**tags, kind="manifest", parts=str(len(parts)))
    repository.conclude(words, json.dumps(manifest, sort_keys=True))
    sets, _ = repository.seen or ([], [])
    made = next((s for s in sets if s.id == repository.run_name), None)
    if not made or sorted(p.id for p in made.parts) != sorted(p["snapshot"] for p in parts):
        raise OperationFailed("the repository does not tell the set that was just stored")
    return made


def _after(repository: Repository, progress: Progress) -> dict[str, Any]:
    """Forget what is kept no longer, and copy. What goes wrong here is told; the set is there."""
    warnings: list[str] = []
    pruned: list[str] = []
    try:
        progress("forgetting what is kept no longer")
        pruned = retention.prune(repository)
    except OperationFailed as error:
        warnings.append(f"{error.what}: {error.seen}")
    return {"pruned": pruned, "warnings": warnings, "copies": copies.copy(repository, progress)}


def before_migrations(home: StackHome, by: str, progress: Progress) -> dict[str, Any] | None:
    """Make a set before the schema changes, unless one is young enough. Return what was done; None where nothing was.

    Raises:
        OperationFailed: no set could be made: then the schema does not change.
    """
    document = keep.known(home)
    if not document or not document.kept or not document.before_migrations:
        return None
    if not any(home.meta(release).get("live_since") for release in home.known()):
        return None  # nobody has put anything there yet
    good = keep.noted(home, "good.json")
    if good and 0 <= glance.age(good["at"]) < document.fresh:
        progress(f"backup {good['set']} is {glance.age(good['at']) / 60:.0f} min old")
        return None
    who = Who("backup", by, "before migrations")
    return run(home, who, wait=3600.0, progress=progress)


def run_all(only: Sequence[str] = ()) -> int:
    """Back up every stack of this host that keeps something (or these): the timer's work. Return the exit code."""
    import sys

    from ..state import HOME

    code = 0
    for folder in sorted((HOME / "stacks").glob("*/backup/document.json")):
        home = StackHome(folder.parent.parent.name)
        if only and home.stack not in only:
            continue
        try:
            told = run(home, Who("backup", "timer", "slipway-backup.timer"), wait=3600.0)
            print(f"{home.stack}: {told['set']['id']}, {told['set']['bytes']} bytes, {told['seconds']} s", flush=True)
            bad = [*told["warnings"], *(f"{c['url']}: {c['seen']}" for c in told["copies"] if not c["ok"])]
            code = 1 if bad else code
            print(*bad, sep="\n", end="\n" if bad else "", file=sys.stderr)
        except Exception as error:  # the other stacks are backed up all the same
            code = 1
            print(f"{home.stack}: {failure.words(error)}", file=sys.stderr, flush=True)
    return code
