"""Runs `inv ARGV` in this process, and kills it with SIGKILL at a boundary between operations.

    python -m tests.support.faults.killed AT LOG ARGV...

A boundary is a word from a host that it begins an operation or has done one, or from Ansible that a task begins (the one before
it has ended). The process dies when it has heard the word number AT (0: never), before it can act on it. Each boundary is a line
of the file LOG: a run that is not killed enumerates them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke.main import program

from slipway.host.events import Events
from slipway.target.compose.session import HostSession


class Boundaries:
    """Counts boundaries, notes them, and ends the process at one."""

    def __init__(self, at: int, log: Path) -> None:
        self._at, self._count, self._lock = at, 0, threading.Lock()
        self._log = log.open("w", buffering=1)

    def reach(self, words: str) -> None:
        """Count a boundary."""
        with self._lock:
            self._count += 1
            print(words, file=self._log)
            if self._count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)


def _watch_hosts(boundaries: Boundaries) -> None:
    perform, read = HostSession.perform, HostSession._read

    def performing(self: HostSession, stack: str, operations: Sequence[Any], **more: Any) -> Any:
        self.asked = [o.kind for o in operations]
        return perform(self, stack, operations, **more)

    def reading(self: HostSession) -> dict[str, Any]:
        event = read(self)
        if event.get("event") in ("begin", "done"):
            boundaries.reach(f"{self.host.name} {event['event']} {self.asked[event['at']]}")
        return event

    HostSession.perform, HostSession._read = performing, reading


def _watch_ansible(boundaries: Boundaries) -> None:
    feed = Events.feed

    def feeding(self: Events, line: str) -> None:
        feed(self, line)
        if line.startswith('{"event": "task"'):
            boundaries.reach(f"ansible begin {json.loads(line)['name']}")
        elif line.startswith('{"event": "stats"'):
            boundaries.reach("ansible end")

    Events.feed = feeding


def main() -> None:
    """Run the command line."""
    at, log, *argv = sys.argv[1:]
    boundaries = Boundaries(int(at), Path(log))
    _watch_hosts(boundaries)
    _watch_ansible(boundaries)
    sys.argv = ["inv", *argv]  # what the lease and the ledger tell
    program.run(sys.argv)


if __name__ == "__main__":
    main()
