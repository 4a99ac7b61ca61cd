"""Which sets go: restic's own policy decides among the whole ones; a set goes as a whole or stays as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable

from . import snapshots
from .restic import Repository
from .snapshots import SnapshotSet

_OTHERS = 3
"""So many of the newest safety sets, and of those of a few services only, are kept."""
_NEWEST = 3
"""So many of the newest whole sets are kept, whatever the policy: one made by hand outlives that of the next night."""


def due(repository: Repository, sets: Iterable[SnapshotSet]) -> list[SnapshotSet]:
    """Return the sets that are kept no longer. The newest whole one never is among them.

    Raises:
        OperationFailed: restic does not tell.
    """
    sets = list(sets)
    gone = [s for scope in ("safety", "partial") for s in [x for x in sets if x.scope == scope][:-_OTHERS]]
    full = [s for s in sets if s.scope == "full"]
    if len(full) <= _NEWEST:
        return gone
    document = repository.document
    tags = snapshots.tagged(env=document.env, stack=document.stack, kind="manifest", scope="full")
    words = [w for unit, n in document.keep.items() if n for w in (f"--keep-{unit}", str(n))]
    # The newest by restic's reckoning, which goes by clocks; ours is added below.
    done = repository.restic(
        "policy",
        "forget",
        "--dry-run",
        "--no-lock",
        "--json",
        "--group-by",
        "",
        "--tag",
        tags,
        "--keep-last",
        str(_NEWEST),
        *words,
    )
    repository.check("the policy of what is kept could not be asked", done)
    groups = json.loads(done.out or "[]") or []
    removed = {s["id"] for group in groups for s in group.get("remove") or []}
    newest = snapshots.latest(full)
    return gone + [s for s in full if s.manifest in removed and s is not newest]


def prune(repository: Repository) -> list[str]:
    """Forget what is kept no longer, half sets too, and free its space. Return the ids of the sets that went.

    Raises:
        OperationFailed: the repository can't be read or changed.
    """
    sets, half = repository.seen or repository.sets()
    gone = due(repository, sets)
    ids = [i for s in gone for i in s.ids] + half
    if ids:
        repository.forget(ids, prune=True)
    return [s.id for s in gone]
