"""`logs.read`: this host's lines that are wanted, in the order of their times, as fast as they are taken."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ..context import Context, Result, operation
from ..failure import OperationFailed
from ..state import StackHome
from . import rotate, sources
from .reader import Reader
from .select import Line, Wanted
from .sources import ROUTER, Source

_LINES, _BYTES = 500, 64_000
"""The most that goes over at once."""
_LOOK_EVERY = 0.2
_LIST_EVERY = 1.0
"""Seconds between two looks at files, and for new containers, while one follows."""
_SETTLED = 0.05
"""Seconds after which a line that was said is in its file."""

Tagged = tuple[str, int, str, str]
"""Time, number of the source, stream, text."""


@operation("logs.read")
def _read(context: Context, home: StackHome, **asked: Any) -> Result:
    """Send lines until all are sent, or, where one follows, until the controller is gone.

    Args:
        context: the session.
        home: whose.
        asked: `services` ([]: all), `since` and `until` (as `files.full` writes times, or `-SECONDS`), `after`, `tail` (None: all),
            `grep`, `fields`, `request_id`, `follow`.
    """
    return _Reading(context, home, asked).run()


@operation("logs.rotate")
def _rotate(_: Context, __: StackHome) -> Result:
    return {"files": rotate.now()}


def moment(told: str, now: float | None = None) -> str:
    """Return a time as `files.full` writes it; `-90` is so many seconds ago by this host's clock."""
    if not told.startswith("-"):
        return told
    at = (time.time() if now is None else now) + float(told)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1e9):09d}Z"


class _Reading:
    """One request for lines."""

    def __init__(self, context: Context, home: StackHome, asked: Result) -> None:
        self.context, self.home, self.asked = context, home, asked
        self.services = asked.get("services") or []
        self.since = moment(asked.get("since") or "")
        condition: dict[str, Any] = {
            "since": self.since,
            "until": moment(asked.get("until") or ""),
            "after": asked.get("after") or "",
            "grep": asked.get("grep") or "",
            "fields": asked.get("fields") or {},
            "request_id": asked.get("request_id") or "",
        }
        self.wanted = Wanted(**condition)
        self.of_router = Wanted(**condition, router=sources.of_stack(home))
        self.readers: dict[str, tuple[int, Source, Reader]] = {}
        self.batch = _Batch(context)

    def run(self) -> Result:
        found, elsewhere = sources.present(self.home, self.services)
        if elsewhere:
            self.context.progress(f"not read: {', '.join(elsewhere)} (their log driver keeps it elsewhere)")
        for source in found:
            self._open(source)
        self._past()
        if self.asked.get("follow"):
            self._follow()
        self.batch.send()
        return {"lines": self.batch.lines}

    def _open(self, source: Source) -> None:
        try:
            reader = Reader(source.path)
        except PermissionError as error:
            seen = f"{source.path}: {error.strerror}"
            raise OperationFailed("the logs of containers can't be read, `inv provision` sees to that", seen) from error
        self.readers[source.key] = (self.batch.number(source), source, reader)

    def _wanted(self, source: Source) -> Wanted:
        return self.of_router if source.service == ROUTER else self.wanted

    def _past(self) -> None:
        """Give what there is. Logs of removed containers may be many: each is opened when its time has come, and closed."""
        opened = {key[:12] for key in self.readers}  # one that is being removed just now is open, and kept already
        gone = sources.removed(self.home, self.services, max(self.since, self.wanted.after))
        gone = [s for s in gone if s.path.stem.rpartition("-")[2] not in opened]
        if (count := self.asked.get("tail")) is not None:
            for line in self._last(gone, count):
                self.batch.add(line)
            return
        logs = [(s.begins, _tagged(r.past(self._wanted(s)), n)) for n, s, r in self.readers.values()]
        logs += [(s.begins, self._of_removed(s)) for s in gone]
        for line in in_order(logs):
            self.batch.add(line)

    def _of_removed(self, source: Source, count: int | None = None) -> Iterator[Tagged]:
        with contextlib.suppress(FileNotFoundError), contextlib.closing(Reader(source.path, zipped=True)) as reader:
            found = reader.past(self.wanted) if count is None else reader.last(self.wanted, count)
            yield from _tagged(found, self.batch.number(source))

    def _last(self, gone: list[Source], count: int) -> list[Tagged]:
        """Return the last lines of all logs together."""
        found: list[Tagged] = []
        for number, source, reader in self.readers.values():
            found = sorted([*found, *_tagged(reader.last(self._wanted(source), count), number)], key=_time)[-count:]
        for source in sorted(gone, key=lambda s: s.until, reverse=True):
            if len(found) < count or source.until > found[0][0]:
                found = sorted([*found, *self._of_removed(source, count)], key=_time)[-count:]
        return found if count else []

    def _follow(self) -> None:
        self.batch.send(live=True)
        listed = time.monotonic()
        while True:
            upto = time.time() - _SETTLED
            lines: list[Tagged] = []
            for number, source, reader in list(self.readers.values()):
                for line in _tagged(reader.more(self._wanted(source)), number):
                    lines.append(line)
                    if len(lines) >= _LINES * 10:  # a host that was away for long catches up
                        self._give(lines)
                        lines = []
            self._give(lines)
            self.batch.send(upto=moment(f"-{max(0.0, time.time() - upto):.3f}"))
            if time.monotonic() - listed >= _LIST_EVERY:
                listed = time.monotonic()
                self._look()
            time.sleep(_LOOK_EVERY)

    def _give(self, lines: list[Tagged]) -> None:
        for line in sorted(lines, key=_time):
            self.batch.add(line)

    def _look(self) -> None:
        """Open what has come, close what has gone: it was read to its end."""
        try:
            found, _ = sources.present(self.home, self.services)
        except OperationFailed:  # the engine is being restarted
            return
        for source in found:
            if source.key not in self.readers:
                with contextlib.suppress(OperationFailed):
                    self._open(source)
                    self._rewind(source.key)
        for key in self.readers.keys() - {s.key for s in found}:
            number, source, reader = self.readers.pop(key)
            self._give(list(_tagged(reader.more(self._wanted(source)), number)))
            reader.close()

    def _rewind(self, key: str) -> None:
        """Give what a container that has come since the last look has said already."""
        number, source, reader = self.readers[key]
        for line in _tagged(reader.past(self._wanted(source)), number):
            self.batch.add(line)


def _time(line: Tagged) -> str:
    return line[0]


def in_order(logs: list[tuple[str, Iterator[Tagged]]]) -> Iterator[Tagged]:
    """Merge logs by time.

    Args:
        logs: of each a time before which it has no line, and its lines in order. None is looked into before that time.
    """
    waiting = deque(sorted(logs, key=lambda log: log[0]))
    heads: list[tuple[Tagged, int, Iterator[Tagged]]] = []
    turn = 0  # lines of one time come as their logs were begun
    while heads or waiting:
        while waiting and (not heads or waiting[0][0] <= heads[0][0][0]):
            _, lines = waiting.popleft()
            turn += 1
            if line := next(lines, None):
                heapq.heappush(heads, (line, turn, lines))
        if heads:
            line, number, lines = heads[0]
            yield line
            if following := next(lines, None):
                heapq.heapreplace(heads, (following, number, lines))
            else:
                heapq.heappop(heads)


def _tagged(lines: Iterable[Line], number: int) -> Iterator[Tagged]:
    """Yield lines with their source's number, never earlier than the one before: the order of a log is its own."""
    latest = ""
    for at, stream, text in lines:
        latest = max(latest, at)
        yield latest, number, stream, text


class _Batch:
    """What waits to be sent, and what the controller was told of its sources."""

    def __init__(self, context: Context) -> None:
        self.context, self.lines = context, 0
        self._sources: list[Source] = []
        self._new: dict[str, Any] = {}
        self._waiting: list[Tagged] = []
        self._bytes = 0

    def number(self, source: Source) -> int:
        self._sources.append(source)
        number = len(self._sources) - 1
        self._new[str(number)] = source.told()
        return number

    def add(self, line: Tagged) -> None:
        self._waiting.append(line)
        self._bytes += len(line[3])
        if len(self._waiting) >= _LINES or self._bytes >= _BYTES:
            self.send()

    def send(self, **more: Any) -> None:
        """Send what waits, once the controller takes it."""
        if not (self._waiting or more):
            return
        self.context.stream({"sources": self._new, "lines": self._waiting, **more})
        self.lines += len(self._waiting)
        self._waiting, self._new, self._bytes = [], {}, 0
