"""The operations of a restore: its steps, as a run does them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import StackHome, append_line, now
from . import backup, beside, keep, lock, notes, pod, restore
from .lock import Who
from .restic import Repository


@operation("restore.begin")
def _begin(context: Context, home: StackHome, by: str, command: str) -> Result:
    """Take the lock of the stack's data until `restore.end`, or the end of this session."""
    who = Who("restore", by, command)
    context.data = context.on_leave.enter_context(lock.alone(home, who, 0.0, context.progress))
    return {}


@operation("restore.end")
def _end(context: Context, home: StackHome, entry: Result | None = None) -> Result:
    context.data = None
    context.on_leave.close()
    if entry:
        append_line(home.ledger, {"at": now(), **entry})
        if pod.NAME:
            notes.push(home)
    return {}


@operation("restore.look")
def _look(context: Context, home: StackHome, snapshot: str, only: list[str]) -> Result:
    """Tell which set is meant and what of it would be restored, under no lock."""
    repository = context.data or Repository(home, lock.new_run())
    chosen = restore.choose(repository, snapshot)
    manifest = context.manifests[home.stack, chosen.id] = repository.manifest(chosen)
    todo = restore.work(repository.document, manifest, only)
    parts = [
        {
            "service": w.service,
            "kind": w.kept.kind,
            "bytes": w.part["bytes"],
            "tables": len(w.part.get("tables", ())),
        }
        for w in todo
    ]
    return {"set": chosen.document(), "parts": parts, "at": manifest["at"]}


def _todo(context: Context, home: StackHome, snapshot: str, only: Sequence[str]) -> list[restore.Work]:
    """Return what is to be restored. The manifest is read once in a session: to open a repository takes a second."""
    key = (home.stack, snapshot)
    if key not in context.manifests:
        repository = context.data or Repository(home, lock.new_run())
        context.manifests[key] = repository.manifest(restore.choose(repository, snapshot))
    return restore.work(keep.document(home), context.manifests[key], only)


@operation("restore.load")
def _load(context: Context, home: StackHome, snapshot: str, only: list[str], targets: dict[str, Any]) -> Result:
    todo = _todo(context, home, snapshot, only)
    restore.refuse_full(todo)
    found, words = restore.load(context.data, todo, targets, context.progress)
    if found:
        raise OperationFailed(f"the backup {snapshot} is not what its manifest says", "\n".join(found))
    return {"words": words}


@operation("restore.save")
def _save(context: Context, home: StackHome, snapshot: str, only: list[str], targets: dict[str, Any]) -> Result:
    """Make a safety snapshot of what the restore writes over; `{set: None}` where there is nothing yet."""
    todo = _todo(context, home, snapshot, only)
    services = sorted({w.service for w in todo if restore.something(context.data, w, targets)})
    if not services:
        return {"set": None}
    made = backup.take(context.data, only=services, scope="safety", progress=context.progress)
    return {"set": made.document()}


@operation("restore.swap")
def _swap(context: Context, home: StackHome, snapshot: str, only: list[str], targets: dict[str, Any]) -> Result:
    todo = _todo(context, home, snapshot, only)
    done = restore.put_in_place(context.data, todo, targets, context.progress)
    return {"done": done}


@operation("restore.tidy")
def _tidy(context: Context, home: StackHome, snapshot: str, only: list[str], targets: dict[str, Any]) -> Result:
    if context.data is None:
        return {"left": []}  # it never came so far
    todo = _todo(context, home, snapshot, only)
    return {"left": restore.tidy(context.data, todo, targets)}


@operation("restore.beside")
def _beside(
    context: Context,
    home: StackHome,
    snapshot: str,
    only: list[str],
    targets: dict[str, Any],
    name: str,
    by: str,
    command: str,
) -> Result:
    """Restore beside what is there: databases of that name, volumes whose names hold it. Nothing that serves is touched."""
    with lock.alone(home, Who("restore", by, command), 0.0, context.progress) as repository:
        todo = _todo(context, home, snapshot, only)
        restore.refuse_full(todo)
        done: list[str] = []
        found: list[str] = []
        for one in todo:
            wrong, words = beside.restore(
                repository, one.kept, one.part, restore.targets_of(one, targets), name, context.progress
            )
            found += wrong
            done += words
        if found:
            raise OperationFailed(f"the backup {snapshot} is not what its manifest says", "\n".join(found))
        entry = {"verb": "restore", "by": by, "set": snapshot, "into": name, "outcome": "done"}
        append_line(home.ledger, {"at": now(), **entry})
        return {"done": done}
