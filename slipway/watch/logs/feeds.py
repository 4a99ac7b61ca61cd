"""A host's lines as they come over: a thread for each host, a few parts of an answer ahead of whoever takes them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from queue import Queue
from typing import Any, NamedTuple, Protocol

from slipway.errors import BadInput, SlipwayError
from slipway.plan.operation import Operation

_AHEAD = 4
"""Parts of an answer, of 64 kB or 500 lines, that a host may be ahead: all that is ever in memory of it."""
_AGAIN_AFTER = 2.0
"""Seconds after which a host that went away is tried again, while one follows."""


_CLOSE_WITHIN = 2.0
"""Seconds to wait for a thread that is being ended: one that is connecting takes its time, and is left to it."""


class Line(NamedTuple):
    """One line of a service."""

    time: str
    host: str
    stream: str
    text: str
    source: Mapping[str, str]
    """`service`, `release`, `container`."""


@dataclass(frozen=True)
class Part:
    """What a host said in one go.

    Args:
        feed: whose.
        lines: in order.
        upto: there will be nothing before that time any more.
        live: what there was has been told; from here on it is what comes.
        words: something to tell the person who waits.
        error: the host is away, or could not do it.
        ends: nothing comes any more.
    """

    feed: Feed
    lines: list[Line] = field(default_factory=list)
    upto: str = ""
    live: bool = False
    words: str = ""
    error: SlipwayError | None = None
    ends: bool = False


class Session(Protocol):
    """What is used of a session with a host."""

    def stream(self, stack: str, operation: Operation, ahead: int) -> Iterator[dict[str, Any]]:
        """See `slipway.target.compose.session.HostSession.stream`."""

    def ask_for(self, parts: int) -> None:
        """See `slipway.target.compose.session.HostSession.ask_for`."""

    def close(self) -> None:
        """End it, whoever waits for an answer."""


class Opener(Protocol):
    """Opens a session with a host."""

    def __call__(self) -> contextlib.AbstractContextManager[Session]:
        """Raise SlipwayError where it can't be reached."""


class Feed:
    """The lines of one host.

    Args:
        host: its name.
        stack: whose lines.
        params: of the operation `logs.read`.
        open: opens a session.
        arrivals: where parts go once what there was is told.
    """

    def __init__(self, host: str, stack: str, params: Mapping[str, Any], open: Opener, arrivals: Queue[Part]) -> None:
        self.host, self.stack, self.params, self._open = host, stack, dict(params), open
        self._parts: Queue[Part] = Queue()
        self._to = self._parts
        self._arrivals = arrivals
        self._session: Session | None = None
        self._last = ""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask for nothing any more."""
        self._closed.set()
        if (
            self._session
        ):  # beside: Ctrl-C may have come while SSH held a lock of its own, and that is held for ever then
            threading.Thread(target=self._session.close, daemon=True).start()
        self._thread.join(_CLOSE_WITHIN)

    def next(self, block: bool = True) -> Part:
        """Return the next part of what there was. Raises queue.Empty where there is none yet and it is not to wait."""
        return self._parts.get(block)

    def took(self) -> None:
        """Say that a part was used up: the host may send another one."""
        with contextlib.suppress(SlipwayError):  # it went away: the thread has it
            if self._session:
                self._session.ask_for(1)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._read()
                return
            except Exception as error:
                if self._closed.is_set():  # whatever goes wrong with a connection that is taken away
                    return
                if not isinstance(error, SlipwayError):
                    self._put(Part(self, error=_unforeseen(error), ends=True))
                    return
                ends = not self.params["follow"] or isinstance(error, BadInput)
                self._put(Part(self, error=error, ends=ends))
                if ends:
                    return
                self._to = self._arrivals
                self.params |= {"after": self._last, "tail": None if self._last else self.params["tail"]}
                self._closed.wait(_AGAIN_AFTER)

    def _put(self, part: Part) -> None:
        self._to.put(part)

    def _read(self) -> None:
        sources: dict[int, Mapping[str, str]] = {}
        back = self._to is self._arrivals
        with self._open() as session:
            self._session = session
            for event in session.stream(self.stack, Operation("logs.read", "read logs", self.params), _AHEAD):
                if event["event"] == "progress":
                    self._put(Part(self, words=event["words"]))
                    continue
                sources |= {int(n): told for n, told in event["sources"].items()}
                lines = [Line(at, self.host, stream, text, sources[n]) for at, n, stream, text in event["lines"]]
                self._last = lines[-1].time if lines else self._last
                live = bool(event.get("live"))
                if back and (lines or live):
                    back = False
                    self._put(Part(self, words="it is back"))
                self._put(Part(self, lines, event.get("upto", ""), live))
                if live:
                    self._to = self._arrivals
        self._put(Part(self, ends=True))


def _unforeseen(error: Exception) -> SlipwayError:
    return SlipwayError(f"unforeseen: {type(error).__name__}: {error}")
