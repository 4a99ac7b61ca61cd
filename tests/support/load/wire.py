"""HTTP/1.1 and WebSocket on a socket, as little as a client needs that wants to see each byte that is missing.

Sources: RFC 9112 (HTTP/1.1), RFC 6455 (WebSocket).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass


class Broken(Exception):
    """A request was not answered as it should be.

    Args:
        reason: in few words, the same for all of a kind: failures are counted by it.
        detail: what was seen.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class Head:
    """The head of an answer."""

    status: int
    release: str
    length: int | None
    chunked: bool
    closes: bool
    raw: bytes


class Wire:
    """One connection to the server."""

    __slots__ = ("reader", "writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Wire:
        """Connect. Raise Broken where nobody listens."""
        try:
            return cls(*await asyncio.open_connection(host, port, limit=256 * 1024))
        except OSError as error:
            raise Broken("no connection", str(error)) from error

    def closed(self) -> bool:
        """Tell whether the server has closed this idle connection: nothing was sent, so nothing is lost."""
        return self.reader.at_eof() or self.writer.is_closing()

    def close(self) -> None:
        """Close at once."""
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        """Send bytes. Raise Broken where the server has gone."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise Broken("connection broke while sending", str(error)) from error

    async def head(self) -> Head:
        """Read the head of an answer; interim answers (1xx but 101) are passed over."""
        while True:
            try:
                raw = await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                what = "answer cut in its head" if error.partial else "closed without an answer"
                raise Broken(what, repr(error.partial[:200])) from error
            except (OSError, asyncio.LimitOverrunError) as error:
                raise Broken("connection broke before the answer", str(error)) from error
            head = parse(raw)
            if head.status == 101 or head.status >= 200:
                return head

    async def body(self, head: Head) -> bytes:
        """Read a whole body. Raise Broken where a part is missing."""
        if head.chunked:
            return b"".join([part async for part in self.chunks()])
        if head.length is None:
            raise Broken("answer without length", repr(head.raw[:200]))
        return await self.exactly(head.length)

    async def exactly(self, count: int) -> bytes:
        """Read so many bytes. Raise Broken where they do not come."""
        try:
            return await self.reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise Broken("answer cut in its body", f"{len(error.partial)} of {count} bytes") from error
        except OSError as error:
            raise Broken("connection broke in the body", str(error)) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read a chunked body, part by part. Raise Broken where its end does not come."""
        while True:
            try:
                line = await self.reader.readuntil(b"\r\n")
            except (asyncio.IncompleteReadError, OSError) as error:
                raise Broken("stream cut", "the last chunk did not come") from error
            size = int(line.split(b";")[0], 16)
            data = await self.exactly(size + 2)
            if size == 0:
                return
            yield data[:-2]


def parse(raw: bytes) -> Head:
    """Return the head of an answer. Raise Broken for what is none."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise Broken("no HTTP answer", repr(raw[:200]))
    head = Head(int(words[1]), "", None, False, words[0] == "HTTP/1.0", raw)
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        if name == "content-length":
            head.length = int(value)
        elif name == "x-release":
            head.release = value.strip()
        elif name == "transfer-encoding":
            head.chunked = "chunked" in value.lower()
        elif name == "connection":
            head.closes = "close" in value.lower()
    return head


def request(method: str, path: str, host: str, headers: str = "") -> bytes:
    """Return the head of a request; `headers` are whole lines with their ends."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: slipway-load\r\n{headers}\r\n".encode()


class WebSocket:
    """A WebSocket, client side."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    @classmethod
    async def open(cls, wire: Wire, path: str, host: str) -> tuple[WebSocket, Head]:
        """Do the handshake. Raise Broken where the server refuses, or answers wrongly."""
        key = base64.b64encode(os.urandom(16)).decode()
        more = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        await wire.send(request("GET", path, host, more))
        head = await wire.head()
        if head.status != 101:
            raise Broken(f"status {head.status}", repr(head.raw[:200]))
        magic = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False)
        if base64.b64encode(magic.digest()) not in head.raw:
            raise Broken("WebSocket handshake is wrong", repr(head.raw[:200]))
        return cls(wire), head

    async def send(self, text: bytes, opcode: int = 1) -> None:
        """Send one frame (1: text, 8: close), masked as a client must; at most 125 bytes."""
        mask = os.urandom(4)
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(text))
        await self.wire.send(bytes([0x80 | opcode, 0x80 | len(text)]) + mask + masked)

    async def receive(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and data. Pings are answered and passed over."""
        while True:
            first, second = await self.wire.exactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await self.wire.exactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await self.wire.exactly(8))
            data = await self.wire.exactly(size)
            if first & 0x0F != 9:
                return first & 0x0F, data
            await self.send(data, 10)
