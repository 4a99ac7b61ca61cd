"""One restic repository as a host sees it. Every word with restic goes through here.

Use: `repository = Repository(home, run)`, then `sets()`, `manifest(set)`, `job(...)` for a container that dumps into it or reads
from it (`restic dump ID /file | ...`), and `done.code` through `check(what, done)`, which makes errors that people understand.
Exit codes of restic: https://restic.readthedocs.io/en/stable/075_scripting.html#exit-codes
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any

from .. import engine
from ..failure import OperationFailed
from ..state import StackHome, now, read_json
from . import keep, snapshots
from .container import SECRETS, Done, Job, host_prefix, hostname_of, note
from .snapshots import SnapshotSet

_NO_REPOSITORY, _LOCKED, _WRONG_PASSWORD = 10, 11, 12
_KILLED = 137
_LOCK_WAIT = ["--retry-lock", "2m"]
"""Another stack may share the repository, and prune it at this moment."""
_LONG_WAIT = ["--retry-lock", "30m"]
"""For what has to be alone in the repository: another stack's dump may take long. Later a lock is stale anyway."""
_FORGET_AT_ONCE = 200

# To restic a lock is stale where the process with its number is gone from the host of its name. Containers have host names and
# numbers of processes of their own: so it is asked in one that has that host name. There it is process 1 (no lock is of it, since
# all others run below an init process), and its threads, which count as well, come after numbers that were used up.
_UNLOCK = "i=0; while [ $i -lt 400 ]; do (:); i=$((i + 1)); done; exec {restic} unlock"


class Repository:
    """The repository of a stack's backups.

    Args:
        home: the stack's folder.
        run: name of the run that uses it; it names containers, locks and snapshots.
    """

    def __init__(self, home: StackHome, run: str) -> None:
        self.home, self.run_name = home, run
        self.document = keep.document(home)
        self._jobs = itertools.count(1)  # several threads make jobs
        self.seen: tuple[list[SnapshotSet], list[str]] | None = None
        """The sets as they were told last."""

    def job(self, name: str, **more: Any) -> Job:
        """Return a throw-away container of this run with the repository in it (see `Job`)."""
        return Job(self.home, self.run_name, f"{name}-{next(self._jobs)}", self.document, **more)

    def restic(self, name: str, *words: str, stdin: str | None = None, line: Any = None, **more: Any) -> Done:
        """Run one command of restic in a container of its own image. Return how it ended."""
        job = self.job(name, **more)
        return job.do(f'exec {job.restic} "$@"', *words, stdin=stdin, line=line)

    def check(self, what: str, done: Done) -> Done:
        """Return `done` where it ended well.

        Raises:
            OperationFailed: it did not; `what` failed, and restic's own words say why.
        """
        if done.code == 0:
            return done
        where = self.document.repository
        if done.code == _WRONG_PASSWORD:
            todo = "backup_password in the vault is not the one that the repository was made with"
            raise OperationFailed(f"the repository {where} does not open with this password", todo, bad_input=True)
        if done.code == _NO_REPOSITORY:
            raise OperationFailed(f"there is no repository at {where}", told(done), bad_input=True)
        if done.code == _LOCKED:
            raise OperationFailed(f"{what}: the repository {where} is locked by another run", told(done))
        why = f"killed, or more than {self.document.memory} MB of memory" if done.code == _KILLED else str(done.code)
        raise OperationFailed(what, f"{told(done)}\n(exit code {why})".strip())

    def ensure(self) -> list[dict[str, Any]]:
        """Return all snapshots of ours; the repository is made the first time, and never again.

        Raises:
            OperationFailed: it can't be opened, or one that was there is gone: an empty one in its place would hide that.
        """
        done = self._list()
        if done.code == _NO_REPOSITORY:
            seen = read_json(keep.folder(self.home) / "known.json") or {}
            if seen.get("repository") == self.document.repository:
                what = f"the repository {self.document.repository} is gone: it was used from here since {seen['since']}"
                raise OperationFailed(what, told(done))
            self.check("the repository could not be made", self.restic("init", "init", "--json"))
            self._know()
            return []
        self.check("the repository could not be read", done)
        self._know()
        return _listed(done)

    def _know(self) -> None:
        seen = read_json(keep.folder(self.home) / "known.json") or {}
        if seen.get("repository") != self.document.repository:
            note(self.home, "known.json", {"repository": self.document.repository, "since": now()})

    def _list(self) -> Done:
        return self.restic("list", "snapshots", "--json", "--no-lock", "--tag", snapshots.MARK)

    def sets(self) -> tuple[list[SnapshotSet], list[str]]:
        """Return the stack's whole sets, oldest first, and the ids of snapshots that belong to none (half ones).

        Raises:
            OperationFailed: the repository can't be opened.
        """
        listed = _listed(self.check("the snapshots could not be listed", self._list()))
        self.seen = snapshots.sort_out(listed, self.document.env, self.document.stack)
        return self.seen

    def manifest(self, of: SnapshotSet) -> dict[str, Any]:
        """Return what a set says of itself. Raises OperationFailed where it can't be read."""
        done = self.restic("manifest", "dump", "--no-lock", of.manifest, "/manifest.json")
        self.check(f"the manifest of {of.id} could not be read", done)
        value: dict[str, Any] = json.loads(done.out)
        return value

    def store(self, tags: str, path: str, text: str) -> dict[str, Any]:
        """Store a small document as a snapshot. Return restic's summary of it."""
        words = ["backup", "--json", *_LOCK_WAIT, *host(self.document), "--tag", tags]
        watch = Watch()
        done = self.restic("store", *words, "--stdin", "--stdin-filename", path, stdin=text, line=watch)
        return watch.ended(self.check("the manifest could not be stored", watch.with_errors(done)))

    def forget(self, ids: Iterable[str], *, prune: bool) -> None:
        """Forget snapshots by id, and with `prune` remove what only they needed. Raises OperationFailed."""
        left = list(ids)
        while left:
            some, left = left[:_FORGET_AT_ONCE], left[_FORGET_AT_ONCE:]
            words = ["forget", *_LONG_WAIT, *(["--prune"] if prune and not left else []), *some]
            self.seen = None
            self.check("old snapshots could not be forgotten", self.restic("forget", *words))

    def verify(self, *words: str) -> None:
        """Have restic check the repository; `--read-data` reads all of it. Raises OperationFailed where it finds anything."""
        self.check("restic check found the repository damaged", self.restic("check", "check", *_LONG_WAIT, *words))

    def unlock(self) -> list[str]:
        """Remove the locks of runs of this host that are gone, and those that are too old to restic. Return their host names.

        Raises:
            OperationFailed: the repository can't be read, or a lock can't be removed.
        """
        mine = set((read_json(keep.folder(self.home) / "holder.json") or {}).get("hostnames", []))
        removed: list[str] = []
        names = self._locks()
        # Looked for after the locks: another stack's run may begin in between.
        alive = {h for c in engine.containers(slipway_task="") if (h := c["Config"].get("Hostname"))}
        for name in names:
            if (name.startswith(host_prefix()) or name in mine) and name not in alive:
                done = self.job("unlock").do(_UNLOCK.format(restic=self.job("").restic), hostname=name, init=False)
                self.check("a stale lock was not removed", done)
                removed.append(name)
        if set(names) - set(removed):
            self.check("stale locks were not removed", self.restic("unlock", "unlock"))  # those older than 30 min
            removed += sorted(set(names) - set(removed) - set(self._locks()))
        return removed

    def _locks(self) -> list[str]:
        """Return the host names in the repository's locks."""
        done = self.check("locks could not be listed", self.restic("locks", "list", "locks", "--no-lock"))
        found = [self.restic("lock", "cat", "lock", "--no-lock", lock) for lock in done.out.split()]
        return sorted({str(json.loads(f.out)["hostname"]) for f in found if f.code == 0})  # one may be gone meanwhile


def host(document: keep.Document) -> list[str]:
    """Return the words that name whose a snapshot is: stays the same, so that the next one finds its parent."""
    return ["--host", f"{document.stack}.{document.env}"]


def told(done: Done) -> str:
    """Return what restic said last, its JSON messages as words."""
    lines = []
    for line in (done.err or done.out).splitlines():
        words = line.strip()
        with contextlib.suppress(ValueError, AttributeError):
            value = json.loads(line)
            words = value.get("message") or (value.get("error") or {}).get("message") or words
        if words and words not in lines:
            lines.append(words)
    return "\n".join(lines[-8:])


def _listed(done: Done) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads(done.out or "[]") or []
    return value


class Watch:
    """Hears restic's JSON lines: passes on how far it is, keeps how it ended.

    Args:
        progress: told the bytes that were read so far.
        other: told lines that are not restic's.
    """

    def __init__(
        self, progress: Callable[[int], None] = lambda _: None, other: Callable[[str], None] = lambda _: None
    ) -> None:
        self.summary: dict[str, Any] = {}
        self.errors: list[str] = []
        self._progress, self._other = progress, other

    def __call__(self, line: str) -> None:
        """Take one line of standard output."""
        try:
            value = json.loads(line)
            kind = value["message_type"]
        except (ValueError, KeyError, TypeError):
            self._other(line)
            return
        if kind == "status":
            self._progress(int(value.get("bytes_done", 0)))
        elif kind == "summary":
            self.summary = value
        elif kind in ("error", "exit_error"):
            self.errors.append(line)

    def with_errors(self, done: Done) -> Done:
        """Return how it ended, with the errors that were told on standard output."""
        return Done(done.code, done.out, done.err + "\n" + "".join(self.errors[-20:]))

    def ended(self, done: Done) -> dict[str, Any]:
        """Return the summary; raise OperationFailed where there is none, whatever the exit code says."""
        if not self.summary.get("snapshot_id"):
            raise OperationFailed("restic made no snapshot", told(done))
        return self.summary


__all__ = ["SECRETS", "Done", "Repository", "Watch", "hostname_of", "told"]
