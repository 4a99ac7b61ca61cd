"""One at a time: a backup, a restore, a pruning of a stack's data on a host; what a killed one left is removed by the next."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .. import engine
from ..failure import OperationFailed
from ..state import StackHome, flock, now, read_json
from . import keep, notes, pod, stale
from .container import hostname_of, note, remove_containers
from .restic import Repository

_MOST_NAMES = 40


@dataclass(frozen=True)
class Who:
    """Who works, for whoever comes second."""

    verb: str
    by: str
    command: str


def new_run() -> str:
    """Return the name of a run: when it began, by this host's clock, and four letters."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{secrets.token_hex(2)}"


@contextlib.contextmanager
def alone(home: StackHome, who: Who, wait: float, progress: Callable[[str], None]) -> Iterator[Repository]:
    """Hold the lock of a stack's data during the block; yield its repository, free of what killed runs left.

    Args:
        home: the stack's folder.
        who: who works.
        wait: seconds to wait for another one.
        progress: told what is removed.

    Raises:
        OperationFailed: another one is at work (`lease` says who), or nothing is kept here.
    """
    if pod.NAME:
        with _alone_in_pod(home, who, wait, progress) as repository:
            yield repository
        return
    document = keep.document(home)
    path = keep.folder(home) / "lock"
    with path.open("a") as file:
        if not flock(file.fileno(), wait):
            holder = read_json(keep.folder(home) / "holder.json") or {}
            raise OperationFailed(f"a {holder.get('verb', 'backup')} of {home.stack} is at work", lease=holder)
        before = read_json(keep.folder(home) / "holder.json") or {}
        run = new_run()
        # A container that shares another one's network has that one's host name, and so has its lock in the repository.
        names = [hostname_of(run), *(_hostname(home, k) for k in document.kept)]
        known = [*(before.get("hostnames") or []), *names]
        runs = [*(before.get("runs") or []), run]
        holder = {
            "verb": who.verb, "by": who.by, "command": who.command, "since": now(), "run": run, "machine": os.uname().nodename,
            "hostnames": list(dict.fromkeys(n for n in known if n))[-_MOST_NAMES:], "runs": runs[-_MOST_NAMES:],
        }  # fmt: skip
        note(home, "holder.json", holder)
        if runs[:-1]:  # they never said that they had ended well
            progress("removing what a killed run left")
            remove_containers(home, runs[:-1])
            _tidy(home, run)
        yield Repository(home, run, progress)
        note(
            home, "holder.json", {**holder, "hostnames": [], "runs": []}
        )  # where it failed, the next one looks for what it left


@contextlib.contextmanager
def _alone_in_pod(home: StackHome, who: Who, wait: float, progress: Callable[[str], None]) -> Iterator[Repository]:
    """The same in a pod. What a killed one ran is gone with it: its locks in the repository are left."""
    run = new_run()
    holder = {
        "verb": who.verb, "by": who.by, "command": who.command, "since": now(), "run": run, "machine": pod.NAME,
        "hostnames": [], "runs": [run],
    }  # fmt: skip
    before = notes.take(home, holder, wait)
    ended = False
    try:
        if before.get("runs"):
            progress("removing what a killed run left")
            _tidy(home, run)
        yield Repository(home, run, progress)
        ended = True
    finally:
        note(home, "holder.json", {**holder, **({"runs": []} if ended else {}), "pod": ""})
        notes.push(home)


def _tidy(home: StackHome, run: str) -> None:
    """Remove a killed run's locks, where its repository is there at all."""
    repository = Repository(home, run)
    known = read_json(keep.folder(home) / "known.json") or {}
    if known.get("repository") == repository.document.repository:
        stale.unlock(repository)


def _hostname(home: StackHome, kept: keep.Kept) -> str:
    found = engine.containers(slipway_stack=home.stack, slipway_service=kept.service, slipway_role="accessory")
    return str(found[0]["Config"]["Hostname"]) if found else ""
