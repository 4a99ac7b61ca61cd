"""The kinds of clients. Each checks status, body, `X-Release` and completeness; none asks twice for what failed.

A client that keeps its connection connects anew where the server closed it between two requests (before a byte of the next was
sent): that is HTTP. A request that was sent and got no whole answer has failed, whoever closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Coroutine
from urllib.parse import urlsplit

from tests.support.load.profile import LASTING, Kind, Target
from tests.support.load.samples import Samples
from tests.support.load.wire import Broken, Head, WebSocket, Wire, request

PATIENCE = 30.0
"""Seconds after which a request without an answer has failed; what lasts longer by its nature has its own time more."""
_MOST_OPEN = 2000
_MESSAGES = 5  # a second, of a WebSocket


class Clients:
    """All clients of a run: started, stopped, counted together."""

    def __init__(self, url: str, target: Target, samples: Samples) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self.host, self.port = parts.hostname, parts.port or 80
        self.target, self.samples = target, samples
        self.name = target.host or f"{self.host}:{self.port}"
        self.stopping = asyncio.Event()
        self.streams = 0
        self._quick = request("GET", target.path, self.name)
        self._once = request("GET", target.path, self.name, "Connection: close\r\n")

    async def run(self, kinds: tuple[Kind, ...]) -> None:
        """Run clients of these kinds until `stopping` is set, and what they have in hand is done."""
        works: dict[str, Callable[[Kind], Coroutine[None, None, None]]] = {
            "keep-alive": self._back_to_back,
            "close": self._back_to_back,
            "new": self._new,
        }
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                work = works.get(kind.name, self._lasting)
                for _ in range(1 if kind.name == "new" else int(kind.count)):
                    group.create_task(work(kind))

    async def _back_to_back(self, kind: Kind) -> None:
        wire: Wire | None = None
        asked = self._once if kind.name == "close" else self._quick
        while not self.stopping.is_set():
            begun = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    if wire is None or wire.closed():
                        wire = await Wire.open(self.host, self.port)
                    await wire.send(asked)
                    head = await self._answer(wire, self.target.expect)
                self.samples.answered(kind.name, begun, time.monotonic() - begun, head.release)
                if head.closes:
                    wire.close()
                    wire = None
            except (Broken, TimeoutError) as error:
                self._failed(kind, begun, error)
                if wire:
                    wire.close()
                    wire = None
                await asyncio.sleep(0.05)  # a server that refuses at once is not asked ten thousand times a second
            if kind.seconds:
                await self._pause(kind.seconds)
        if wire:
            wire.close()

    async def _answer(self, wire: Wire, expect: str) -> Head:
        head = await wire.head()
        body = await wire.body(head)
        if head.status != 200:
            raise Broken(f"status {head.status}", body[:200].decode(errors="replace"))
        if expect.replace("{release}", _released(head).release).encode() not in body:
            raise Broken("wrong body", body[:200].decode(errors="replace"))
        return head

    async def _new(self, kind: Kind) -> None:
        begin, number, open_now = time.monotonic(), 0, set[asyncio.Task[None]]()
        while not self.stopping.is_set():
            due = begin + number / kind.count
            if (early := due - time.monotonic()) > 0:
                await self._pause(early)
                continue
            number += 1
            if len(open_now) >= _MOST_OPEN:
                self._failed(kind, due, Broken("not sent", f"{_MOST_OPEN} requests are open"))
                continue
            task = asyncio.create_task(self._one_new(kind, due))
            open_now.add(task)
            task.add_done_callback(open_now.discard)
        if open_now:
            await asyncio.wait(open_now)

    async def _one_new(self, kind: Kind, due: float) -> None:
        # From the moment it was due, not sent: else a client that waits would hide what the others would have seen.
        wire, late = None, time.monotonic() - due
        try:
            async with asyncio.timeout(PATIENCE):
                wire = await Wire.open(self.host, self.port)
                await wire.send(self._once)
                head = await self._answer(wire, self.target.expect)
            self.samples.answered(kind.name, due, time.monotonic() - due, head.release, late)
        except (Broken, TimeoutError) as error:
            self._failed(kind, due, error)
        finally:
            if wire:
                wire.close()

    async def _lasting(self, kind: Kind) -> None:
        slow = self._slow if self.target.slow else self._stream
        do = {"answer": slow, "sse": self._stream, "upload": self._upload, "ws": self._websocket}[kind.name]
        assert kind.name in LASTING
        while not self.stopping.is_set():
            begun, wire = time.monotonic(), None
            self.streams += 1
            try:
                async with asyncio.timeout(PATIENCE + kind.seconds):
                    wire = await Wire.open(self.host, self.port)
                    head, waited = await do(wire, kind.seconds)
                self.samples.answered(kind.name, begun, waited, _released(head).release)
            except (Broken, TimeoutError) as error:
                self._failed(kind, begun, error)
                await asyncio.sleep(0.05)
            finally:
                self.streams -= 1
                if wire:
                    wire.close()

    async def _slow(self, wire: Wire, seconds: float) -> tuple[Head, float]:
        begun = time.monotonic()
        await wire.send(request("GET", self.target.slow.replace("{seconds}", f"{seconds:g}"), self.name))
        head = await self._answer(wire, self.target.expect)
        took = time.monotonic() - begun
        if took < seconds:
            raise Broken("slow answer came early", f"{took:.3f} s")
        return head, took - seconds

    async def _stream(self, wire: Wire, seconds: float) -> tuple[Head, float]:
        begun, number = time.monotonic(), int(seconds)
        path = self.target.stream.replace("{seconds}", str(number))
        await wire.send(request("GET", path, self.name, "Accept: text/event-stream\r\n"))
        head = await wire.head()
        waited = time.monotonic() - begun
        if head.status != 200 or not head.chunked:
            raise Broken(f"status {head.status}", (await wire.body(head))[:200].decode(errors="replace"))
        text = b"".join([part async for part in wire.chunks()]).decode(errors="replace")
        events = [e for e in text.split("\n\n") if e.strip()]
        if not events or not events[-1].startswith(self.target.final):
            raise Broken("stream without its last event", text[-200:])
        if len(events) != number + 1:
            raise Broken("stream with events missing", f"{len(events) - 1} of {number}")
        return head, waited

    async def _upload(self, wire: Wire, seconds: float) -> tuple[Head, float]:
        body = json.dumps(self.target.body).encode()
        headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        await wire.send(request("POST", self.target.upload, self.name, headers))
        parts = max(2, int(seconds * 4))
        size = -(-len(body) // parts)
        for at in range(0, len(body), size):
            await asyncio.sleep(seconds / parts)
            await wire.send(body[at : at + size])
        begun, digest = time.monotonic(), hashlib.sha256(body).hexdigest()
        head = await self._answer(wire, self.target.uploaded.replace("{sha256}", digest))
        return head, time.monotonic() - begun

    async def _websocket(self, wire: Wire, seconds: float) -> tuple[Head, float]:
        socket, head = await WebSocket.open(wire, self.target.websocket, self.name)
        slowest = 0.0
        for number in range(max(1, int(seconds * _MESSAGES))):
            begun, text = time.monotonic(), f"message {number}".encode()
            await socket.send(text)
            opcode, data = await socket.receive()
            if opcode != 1 or data != text:
                raise Broken("WebSocket closed" if opcode == 8 else "wrong echo", f"{opcode} {data[:100]!r}")
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(1 / _MESSAGES)
        await socket.send(b"\x03\xe8", 8)
        opcode, data = await socket.receive()
        if opcode != 8:
            raise Broken("WebSocket not closed", f"{opcode} {data[:100]!r}")
        return head, slowest

    def _failed(self, kind: Kind, begun: float, error: Exception) -> None:
        broken = error if isinstance(error, Broken) else Broken("no answer in time", f"{PATIENCE:g} s")
        self.samples.failed(kind.name, begun, time.monotonic() - begun, broken.reason, broken.detail)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


def _released(head: Head) -> Head:
    if not head.release:
        raise Broken("no X-Release", repr(head.raw[:200]))
    return head
