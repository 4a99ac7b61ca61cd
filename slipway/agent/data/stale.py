"""Locks in a repository whose runs are gone: restic keeps others away by them, and a killed run leaves its own."""

from __future__ import annotations

import json

from .. import engine
from ..state import read_json
from . import keep, pod
from .container import host_prefix
from .restic import Repository

# To restic a lock is stale where the process with its number is gone from the host of its name. Containers have host names and
# numbers of processes of their own: so it is asked in one that has that host name. There it is process 1 (no lock is of it, since
# all others run below an init process), and its threads, which count as well, come after numbers that were used up.
_UNLOCK = "i=0; while [ $i -lt 400 ]; do (:); i=$((i + 1)); done; exec {restic} unlock"

# One may be gone by the time that it is read.
_LOCKS = """
found=$({restic} list locks --no-lock)
for lock in $found; do {restic} cat lock --no-lock "$lock" | tr -d '\\n'; echo; done
"""


def unlock(repository: Repository) -> list[str]:
    """Remove the locks of runs of this host that are gone, and those that are too old to restic. Return their host names.

    Raises:
        OperationFailed: the repository can't be read, or a lock can't be removed.
    """
    mine = set((read_json(keep.folder(repository.home) / "holder.json") or {}).get("hostnames", []))
    removed: list[str] = []
    names = _locks(repository)
    if pod.NAME:
        return _unlock_in_pod(repository, names)
    # Looked for after the locks: another stack's run may begin in between.
    alive = {h for c in engine.containers(slipway_task="") if (h := c["Config"].get("Hostname"))}
    for name in names:
        if (name.startswith(host_prefix()) or name in mine) and name not in alive:
            job = repository.job("unlock")
            done = job.do(_UNLOCK.format(restic=job.restic), hostname=name, init=False)
            repository.check("a stale lock was not removed", done)
            removed.append(name)
    if set(names) - set(removed):
        repository.check(
            "stale locks were not removed", repository.restic("unlock", "unlock")
        )  # those older than 30 min
        removed += sorted(set(names) - set(removed) - set(_locks(repository)))
    return removed


def _unlock_in_pod(repository: Repository, names: list[str]) -> list[str]:
    """Remove the locks of this stack's pods that are gone: one works at a time, and has the lock of the stack's data now.

    Restic itself goes by a process' number, which here may be another container's. So where others have locks too, theirs
    and ours go once they are 30 minutes old.
    """
    if not names:
        return []
    only_ours = set(names) == {host_prefix()}
    done = repository.restic("unlock", "unlock", *(["--remove-all"] if only_ours else []))
    repository.check("stale locks were not removed", done)
    return sorted(set(names) - set(_locks(repository)))


def _locks(repository: Repository) -> list[str]:
    """Return the host names in the repository's locks."""
    job = repository.job("locks")
    done = repository.check(
        "locks could not be listed", job.do(repository.asked(job) + _LOCKS.format(restic=job.restic))
    )
    return sorted({str(json.loads(line)["hostname"]) for line in done.out.splitlines() if line.strip()})
