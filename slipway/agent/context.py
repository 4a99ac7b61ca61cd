"""What operations share during one session: the lease, the run and its journal, words for the controller."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from .failure import OperationFailed
from .lease import Lease
from .state import StackHome, append_line, now, read_json, sweep

Result = dict[str, Any]
_KINDS: dict[str, Callable[..., Result]] = {}

_MODULES = {
    "release": ".releases", "secrets": ".releases", "images": ".releases", "smoke": ".releases", "services": ".releases",
    "schema": ".migrate", "logs": ".logs.operations",
    "backup": ".data.operations", "restore": ".data.operations", "storage": ".data.operations", "apps": ".data.operations",
}  # fmt: skip
"""Where the operations of a group are, by the first part of their kind; the others are in `operations`."""


def operation(kind: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Register a function as the operation `kind`: it gets the context, the stack's home and the operation's parameters."""

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        _KINDS[kind] = function
        return function

    return register


def load(kind: str) -> None:
    """Import the module that registers an operation: what is asked is a matter of tenths of a second, and needs few."""
    if kind not in _KINDS:
        importlib.import_module(_MODULES.get(kind.partition(".")[0], ".operations"), __package__)


class Context:
    """What operations share during one session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._head: Result = {}
        self._locked = contextlib.ExitStack()
        self.on_leave = contextlib.ExitStack()
        """What a run holds from one operation to another one."""
        self.data: Any = None
        """The repository of backups, while a restore has their lock."""
        self.manifests: dict[tuple[str, str], Result] = {}
        """What backups say they hold, by stack and id: read once in a session."""
        self.stopped = False
        """Whether this run has stopped apps."""
        self.leases: list[Lease] = []
        self.fences: dict[str, int] = {}
        self.run: Result | None = None
        self.unfinished: Result | None = None
        """The run that this host's last one was, where it never ended."""

    @property
    def by(self) -> str:
        """Who types the run's command; "" outside of a run."""
        return str((self.run or {}).get("by", ""))

    def progress(self, words: str) -> None:
        """Tell the controller what is being done."""
        self._session.send({**self._head, "event": "progress", "words": words})

    def stream(self, value: Result) -> None:
        """Send a part of an operation's answer, once the controller has asked for it: it takes them one by one."""
        self._session.asked_for.acquire()
        self._session.send({**self._head, "event": "data", **value})

    def beat(self) -> None:
        """Pass on the controller's sign of life."""
        for lease in self.leases:
            lease.beat()

    def take(self, lease: Lease, holder: Result, above: int, despite_freeze: bool) -> int:
        """Take a stack's lease until this session ends. Return the run's fencing number. Raises as `Lease.take`."""
        self.fences[lease.home.stack] = lease.take(holder, above, despite_freeze=despite_freeze)
        self.leases.append(lease)
        return self.fences[lease.home.stack]

    def begin(self, home: StackHome, run: Result) -> None:
        """Begin a run: from here on this host's timer keeps its hands off the stack, and the journal is written.

        Raises:
            OperationFailed: another run is at work here, or the stack on this host is another environment's.
        """
        if not self._locked.enter_context(home.exclusive(wait=40)):
            seen = str(read_json(home.path / "holder.json") or "")
            raise OperationFailed("another run is at work on this host", seen)
        owner = home.environment()
        if owner not in (None, run["env"]):
            self._locked.close()
            raise OperationFailed(f"{home.stack} on this host belongs to the environment {owner}", bad_input=True)
        home.belong_to(run["env"])
        sweep(home.path)
        self.unfinished = home.unfinished()
        self.run = {**run, "fence": self.fences.get(home.stack)}
        if self.unfinished and self.unfinished["verb"] == run["verb"]:
            self.run["release"] = self.unfinished["release"]  # whoever goes on after this run must know as well
        home.journal.unlink(missing_ok=True)
        append_line(home.journal, {"event": "run.begin", "at": now(), **self.run})

    def end(self, home: StackHome, outcome: str) -> None:
        """End the run."""
        append_line(home.journal, {"event": "run.end", "at": now(), "outcome": outcome})
        self.run = None
        self._locked.close()

    def perform(self, stack: str, fence: int | None, wanted: Result, head: Result) -> Result:
        """Do one operation, if this run has not been superseded."""
        self._head = head
        parameters = {k: v for k, v in wanted.items() if k != "kind"}
        home = StackHome(stack)
        if fence is not None:
            self.fences[stack] = fence
        if stack in self.fences:
            home.raise_fence(self.fences[stack])
        load(wanted["kind"])
        if self.run is None:
            return _KINDS[wanted["kind"]](self, home, **parameters)
        line = {"kind": wanted["kind"], "fence": self.fences.get(stack), "release": parameters.get("release")}
        append_line(home.journal, {"event": "begin", "at": now(), **line})
        result = _KINDS[wanted["kind"]](self, home, **parameters)
        if self.run is not None:  # run.end has the last word
            append_line(home.journal, {"event": "done", "at": now(), **line})
        return result
