"""The conversation with an agent, whatever carries it: JSON lines out, JSON lines in (see `slipway.agent.session`)."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from slipway.errors import SlipwayError
from slipway.plan.operation import Operation

PING_EVERY = 2.0
SILENCE = 20.0
"""Seconds without a word from the host after which the connection is taken for cut. The agent gives up at 25 s by itself."""


class HostError(SlipwayError):
    """An operation failed on a host, or the host went away.

    Args:
        failure: what the agent said: `what`, `seen`, `service`, `bad_input`, `lease`; `lost`: the connection is gone.
        host: the host's name.
    """

    def __init__(self, host: str, failure: Mapping[str, Any]) -> None:
        service = failure.get("service")
        where = f"{host}, {service}" if service else host
        super().__init__(str(failure["what"]), where=where, seen=str(failure.get("seen", "")))
        self.bad_input = bool(failure.get("bad_input"))
        self.lost = bool(failure.get("lost"))
        self.lease: Mapping[str, Any] | None = failure.get("lease")


class Conversation:
    """A conversation with one agent.

    Args:
        name: where it runs, for errors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._number = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._output: Any = None
        self._errors: Any = None
        self._gone: HostError | None = None

    def _send_raw(self, data: bytes) -> None:
        """Send bytes to the agent. Raises OSError or EOFError where the connection is gone."""
        raise NotImplementedError

    def _send(self, value: Mapping[str, Any]) -> None:
        try:
            self._send_raw(json.dumps(value).encode() + b"\n")
        except (OSError, EOFError) as error:  # EOFError: in the middle of a packet
            raise self._lost("it was closed") from error

    def _ping(self) -> None:
        while not self._closed.wait(PING_EVERY):
            try:
                self._send({"ping": 1})
            except SlipwayError:
                return

    def _read(self) -> dict[str, Any]:
        """Return the next event. The agent answers pings, so silence is a connection that was cut."""
        while True:
            try:
                line = self._output.readline()
            except TimeoutError as error:
                raise self._lost(f"no sign of life for {SILENCE:.0f} s") from error
            except OSError as error:
                raise self._lost(str(error)) from error
            if not line:
                raise self._lost(self._last_words())
            value: dict[str, Any] = json.loads(line)
            if "pong" not in value:
                return value

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = self._errors.read()
            return (text.decode(errors="replace") if isinstance(text, bytes) else text)[-2000:] or "it was closed"
        return "it was closed"

    def _lost(self, seen: str) -> HostError:
        failure = {"what": "the connection to the host was lost", "seen": seen, "lost": True}
        self._gone = HostError(self.name, failure)  # nobody needs to wait for it again
        return self._gone

    def perform(
        self,
        stack: str,
        operations: Sequence[Operation],
        *,
        fence: int | None = None,
        progress: Callable[[str], None] = lambda _: None,
    ) -> list[dict[str, Any]]:
        """Have the host do operations in order, in one exchange.

        Args:
            stack: whose.
            operations: what.
            fence: the run's number; the host refuses where a later run has begun.
            progress: told what each operation says while it works.

        Returns:
            The result of each operation.

        Raises:
            HostError: one failed (the rest was not begun), or the connection was lost.
        """
        self._ask(stack, operations, fence)
        results: list[dict[str, Any]] = []
        failure: dict[str, Any] | None = None
        while True:
            event = self._read()
            kind = event["event"]
            if kind == "begin":
                progress(operations[event["at"]].says)
            elif kind == "progress":
                progress(event["words"])
            elif kind == "done":
                results.append(event["result"])
            elif kind == "failed":
                failure = event
            elif kind == "end":
                break
        if failure:
            raise HostError(self.name, failure)
        return results

    def stream(self, stack: str, operation: Operation, ahead: int) -> Iterator[dict[str, Any]]:
        """Have the host do an operation whose answer comes in parts, and yield them.

        The host sends only as many parts as it was asked for, `ahead` and then one for each `ask_for`: whoever takes them slowly
        slows it down, and nothing piles up on the way.

        Yields:
            `{"event": "data", ...}`; `{"event": "progress", "words": ...}`.

        Raises:
            HostError: it failed, or the connection was lost.
        """
        self._ask(stack, [operation], None)
        self.ask_for(ahead)
        failure: dict[str, Any] | None = None
        while True:
            event = self._read()
            if event["event"] in ("data", "progress"):
                yield event
            elif event["event"] == "failed":
                failure = event
            elif event["event"] == "end":
                break
        if failure:
            raise HostError(self.name, failure)

    def ask_for(self, parts: int) -> None:
        """Have the host send so many further parts of its answer. Raises HostError where the connection was lost."""
        self._send({"more": parts})

    def _ask(self, stack: str, operations: Sequence[Operation], fence: int | None) -> None:
        if self._gone:
            raise self._gone
        self._number += 1
        ops = [o.message() for o in operations]
        self._send({"id": self._number, "stack": stack, "fence": fence, "ops": ops})
