"""The operations on what a stack keeps."""

from __future__ import annotations

from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import StackHome
from . import backup, drill, glance, keep, lock, quiet, restore_operations, retention, stale, storage  # noqa: F401 - some register what can be done
from .lock import Who
from .restic import Repository


@operation("backup.write")
def _write(_: Context, home: StackHome, document: Result, secrets: Result, configuration: Result) -> Result:
    """Note what the stack keeps, for whoever backs it up: a person, or the timer with nobody's machine up."""
    keep.write_document(home, document, secrets, configuration)
    return {}


@operation("backup.forget")
def _forget(_: Context, home: StackHome) -> Result:
    """The stack keeps nothing here any more: it moved to another host, or its file says so."""
    return {"forgotten": keep.forget(home)}


@operation("backup.run")
def _run(context: Context, home: StackHome, by: str, command: str, only: list[str], any_size: bool = False) -> Result:
    return backup.run(home, Who("backup", by, command), only=only, any_size=any_size, progress=context.progress)


@operation("backup.list")
def _list(_: Context, home: StackHome) -> Result:
    sets, half = Repository(home, lock.new_run()).sets(none_yet=True)
    return {"sets": [s.document() for s in reversed(sets)], "half": len(half), "state": glance.state(home)}


@operation("backup.check")
def _check(context: Context, home: StackHome, by: str, command: str, read_data: bool) -> Result:
    """Check the repository; then read every manifest, since a set without its own is worth little."""
    with lock.alone(home, Who("check", by, command), 0.0, context.progress) as repository:
        context.progress("reading all data" if read_data else "checking the repository")
        repository.verify(*(["--read-data"] if read_data else []))
        sets, half = repository.sets()
        for one, manifest in zip(sets, repository.manifests(sets), strict=True):
            parts = {p["snapshot"] for p in manifest["parts"]}
            if parts != {p.id for p in one.parts}:
                raise OperationFailed(f"the manifest of {one.id} is of other snapshots than the repository has")
        return {"sets": len(sets), "half": len(half)}


@operation("backup.prune")
def _prune(context: Context, home: StackHome, by: str, command: str) -> Result:
    with lock.alone(home, Who("prune", by, command), 0.0, context.progress) as repository:
        context.progress("forgetting what is kept no longer")
        return {"pruned": retention.prune(repository), "left": len(repository.sets()[0])}


@operation("backup.unlock")
def _unlock(context: Context, home: StackHome, by: str, command: str) -> Result:
    with lock.alone(home, Who("unlock", by, command), 0.0, context.progress) as repository:
        return {"removed": stale.unlock(repository)}
