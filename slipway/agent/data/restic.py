"""One restic repository as a host sees it. Every word with restic goes through here.

Use: `repository = Repository(home, run)`, then `sets()`, `manifest(set)`, `job(...)` for a container that dumps into it or reads
from it (`restic dump ID /file | ...`), and `done.code` through `check(what, done)`, which makes errors that people understand.
Exit codes of restic: https://restic.readthedocs.io/en/stable/075_scripting.html#exit-codes
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..failure import OperationFailed
from ..state import StackHome, now, read_json
from . import keep, snapshots
from .container import SECRETS, Done, Job, hostname_of, note
from .snapshots import SnapshotSet

_NO_REPOSITORY, _LOCKED, _WRONG_PASSWORD = 10, 11, 12
_KILLED = 137
TIMED_OUT = (124, 143)
ANSWERS_WITHIN = 60
"""Seconds that a storage gets for its first answer; `timeout` exits with one of `TIMED_OUT`."""
_LOCK_WAIT = ["--retry-lock", "2m"]
"""Another stack may share the repository, and prune it at this moment."""
_LONG_WAIT = ["--retry-lock", "30m"]
"""For what has to be alone in the repository: another stack's dump may take long. Later a lock is stale anyway."""
_WAITS = "repo already locked"
"""How restic begins to say that it waits."""
_WAITING = "another run has the repository locked: waiting for it, 30 min at most (inv backup.unlock removes what killed runs left)"
_FORGET_AT_ONCE = 200
_MANIFEST = "/manifest.json"

_CONCLUDE = f"""
echo 'slipway check'; {{restic}} check {{check}}
echo 'slipway store'; {{restic}} backup --json {{wait}} --host "$2" --tag "$1" --stdin --stdin-filename {_MANIFEST}
echo 'slipway list'; {{restic}} snapshots --json --no-lock --tag {snapshots.MARK}
"""


class Repository:
    """The repository of a stack's backups.

    Args:
        home: the stack's folder.
        run: name of the run that uses it; it names containers, locks and snapshots.
        tell: told what it waits for.
    """

    def __init__(self, home: StackHome, run: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self.home, self.run_name, self.tell = home, run, tell
        self.document = keep.document(home)
        self._jobs = itertools.count(1)  # several threads make jobs
        self.seen: tuple[list[SnapshotSet], list[str]] | None = None
        """The sets as they were told last."""
        self.stores: dict[str, Any] = {}
        """What Redis servers told of their configuration, by container: they are asked once in a run."""

    def job(self, name: str, **more: Any) -> Job:
        """Return a throw-away container of this run with the repository in it (see `Job`)."""
        return Job(self.home, self.run_name, f"{name}-{next(self._jobs)}", self.document, tell=self.tell, **more)

    def restic(self, name: str, *words: str, stdin: str | None = None, line: Any = None, **more: Any) -> Done:
        """Run one command of restic in a container of its own image. Return how it ended."""
        job = self.job(name, **more)
        lines: list[str] = []

        def hear(text: str) -> None:
            if text.startswith(_WAITS):
                self.tell(_WAITING)
            lines.append(text)

        done = job.do(f'exec {job.restic} "$@"', *words, stdin=stdin, line=line or hear)
        return Done(done.code, "".join(lines), done.err)

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
        if done.code in TIMED_OUT:
            raise OperationFailed(
                f"the repository {where} does not answer", f"{ANSWERS_WITHIN} s\n{told(done)}".strip()
            )
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
        if self._not_yet(done):
            self.check("the repository could not be made", self.restic("init", "init", "--json"))
            self._know()
            return []
        self.check("the repository could not be read", done)
        self._know()
        return _listed(done)

    def _not_yet(self, done: Done) -> bool:
        """Tell whether no repository was found where there was never one. Raises OperationFailed where there was one."""
        if done.code == _NO_REPOSITORY and (since := self._known_since()):
            what = f"the repository {self.document.repository} is gone: it was used from here since {since}"
            raise OperationFailed(what, told(done))
        return done.code == _NO_REPOSITORY

    def _known_since(self) -> str:
        seen = read_json(keep.folder(self.home) / "known.json") or {}
        return str(seen["since"]) if seen.get("repository") == self.document.repository else ""

    def _know(self) -> None:
        if not self._known_since():
            note(self.home, "known.json", {"repository": self.document.repository, "since": now()})

    def _list(self) -> Done:
        job = self.job("list")
        return job.do(f"{self.asked(job)}exec {job.restic} snapshots --json --no-lock --tag {snapshots.MARK}")

    def asked(self, job: Job) -> str:
        """Return the shell's words that end a script where the storage does not answer: restic itself would go on for long."""
        if keep.is_local(self.document.repository):
            return ""
        return f"timeout {ANSWERS_WITHIN} {job.restic} cat config > /dev/null || exit $?\n"

    def sets(self, *, none_yet: bool = False) -> tuple[list[SnapshotSet], list[str]]:
        """Return the stack's whole sets, oldest first, and the ids of snapshots that belong to none (half ones).

        Args:
            none_yet: it is no error that the repository was never made.

        Raises:
            OperationFailed: the repository can't be opened.
        """
        done = self._list()
        if none_yet and self._not_yet(done):
            return [], []
        listed = _listed(self.check("the snapshots could not be listed", done))
        self.seen = snapshots.sort_out(listed, self.document.env, self.document.stack)
        return self.seen

    def manifest(self, of: SnapshotSet) -> dict[str, Any]:
        """Return what a set says of itself. Raises OperationFailed where it can't be read."""
        return self.manifests([of])[0]

    def manifests(self, sets: Sequence[SnapshotSet]) -> list[dict[str, Any]]:
        """Return what each of these sets says of itself. Raises OperationFailed where one can't be read."""
        if not sets:
            return []
        job, found = self.job("manifest"), list[str]()

        def hear(line: str) -> None:
            if line.strip():
                found.append(line)
                self.tell(f"manifest {len(found)} of {len(sets)}")

        script = f'for id; do {job.restic} dump --no-lock "$id" {_MANIFEST}; echo; done'
        done = job.do(script, *(s.manifest for s in sets), line=hear)
        first = sets[min(len(found), len(sets) - 1)]
        self.check(f"the manifest of {first.id} could not be read", done)
        return [json.loads(line) for line in found]

    def conclude(self, tags: str, manifest: str) -> None:
        """Check the repository, store a manifest, which makes a set of dumps, and list what is there: `seen`. In one container.

        Args:
            tags: of the manifest's snapshot.
            manifest: JSON on one line.

        Raises:
            OperationFailed: restic found the repository damaged, or the manifest could not be stored.
        """
        job, heard = self.job("conclude"), _Steps(self.tell)
        cached = [] if keep.is_local(self.document.repository) else ["--with-cache"]
        script = _CONCLUDE.format(restic=job.restic, check=" ".join([*_LONG_WAIT, *cached]), wait=" ".join(_LOCK_WAIT))
        done = job.do(script, tags, host(self.document)[1], stdin=manifest, line=heard)
        what = {
            "list": "the snapshots could not be listed", "store": "the manifest could not be stored",
        }.get(heard.step, "restic check found the repository damaged")  # fmt: skip
        done.out = "".join(heard.lines)
        self.seen = snapshots.sort_out(_listed(self.check(what, done)), self.document.env, self.document.stack)

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


class _Steps:
    """Hears the steps of a script (`slipway NAME`), and keeps what the one in hand says."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.step, self.lines, self._tell = "", list[str](), tell

    def __call__(self, line: str) -> None:
        """Take one line of standard output."""
        if line.startswith("slipway "):
            self.step, self.lines = line.split()[1], []
        elif line.startswith(_WAITS):
            self._tell(_WAITING)
        else:
            self.lines.append(line)


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
        elif kind == "verbose_status":
            self.item(value)

    def item(self, value: dict[str, Any]) -> None:
        """Take what restic says of one file or folder, where it was asked to."""

    def with_errors(self, done: Done) -> Done:
        """Return how it ended, with the errors that were told on standard output."""
        return Done(done.code, done.out, done.err + "\n" + "".join(self.errors[-20:]))

    def ended(self, done: Done) -> dict[str, Any]:
        """Return the summary; raise OperationFailed where there is none, whatever the exit code says."""
        if not self.summary.get("snapshot_id"):
            raise OperationFailed("restic made no snapshot", told(done))
        return self.summary


__all__ = ["SECRETS", "Done", "Repository", "Watch", "hostname_of", "told"]
