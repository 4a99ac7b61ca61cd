"""One container's log as the engine's `json-file` driver keeps it: the file it writes, and those that it has rotated.

They are read as they lie there: the engine's API decodes each line before it drops it, which takes some thirty times as long as
looking for a text. Reading is all that is done to them. Source: https://docs.docker.com/engine/logging/drivers/json-file/
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK = 1 << 18
"""Bytes that are looked at in one go: the most of a file that is in memory."""

_GZIP = 31  # zlib's word for gzip's format
_STREAM, _FINAL = b'","stream":"', b'\\n","stream":"'
"""What a record has, and one that ends its line: longer lines come in parts of 16 kB."""
_LONGEST = 16 << 20
"""Bytes of a line beyond which its end is not waited for."""


class File:
    """An open file of a log. What is opened stays readable, however it is renamed or removed meanwhile."""

    def __init__(self, path: Path, *, zipped: bool) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.zipped = zipped
        state = os.fstat(self.descriptor)
        self.size, self.written = state.st_size, state.st_mtime
        self.identity = (state.st_dev, state.st_ino)

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    def unzipped_size(self) -> int:
        """Return how long the file was before it was zipped, as its last four bytes say."""
        return int.from_bytes(os.pread(self.descriptor, 4, max(0, self.size - 4)), "little")

    def chunks(self, start: int, end: int | None) -> Iterator[bytes]:
        """Yield its bytes from one offset to another one (None: what there is), unzipped."""
        return self._unzipped() if self.zipped else self._plain(start, end)

    def _plain(self, at: int, end: int | None) -> Iterator[bytes]:
        while chunk := os.pread(self.descriptor, BLOCK if end is None else min(BLOCK, end - at), at):
            at += len(chunk)
            yield chunk

    def _unzipped(self) -> Iterator[bytes]:
        at, stream = 0, zlib.decompressobj(_GZIP)
        waiting = b""
        with contextlib.suppress(zlib.error):  # a machine that broke down may have left half of it
            while True:
                if not waiting:
                    waiting = os.pread(self.descriptor, BLOCK // 4, at)
                    at += len(waiting)
                    if not waiting:
                        return
                data = stream.decompress(waiting, BLOCK)
                waiting = stream.unconsumed_tail
                if stream.eof:  # what is kept of a removed container is several, one after the other
                    waiting, stream = stream.unused_data, zlib.decompressobj(_GZIP)
                if data:
                    yield data


def open_all(path: Path) -> list[File]:
    """Open a log's files, oldest first, as they are at one moment. [] where the container has said nothing yet.

    Raises:
        PermissionError: this user may not read them.
    """
    for _ in range(20):
        found = _open(path)
        with contextlib.suppress(FileNotFoundError):
            if not found or path.stat().st_ino == found[-1].identity[1]:
                return found
        for file in found:  # it was rotated meanwhile
            file.close()
    return []


def _open(path: Path) -> list[File]:
    found: list[File] = []
    try:
        found.append(File(path, zipped=False))
    except FileNotFoundError:
        return []
    seen, number = {found[0].identity}, 1
    while file := _rotated(path, number):
        number += 1
        if file.identity in seen:
            file.close()
        else:
            seen.add(file.identity)
            found.append(file)
    return found[::-1]


def _rotated(path: Path, number: int) -> File | None:
    # The plain one first: it goes once it has been zipped, and only then is the other one whole.
    for suffix in ("", ".gz"):
        with contextlib.suppress(FileNotFoundError):
            return File(path.with_name(f"{path.name}.{number}{suffix}"), zipped=bool(suffix))
    return None


def blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield bytes in blocks of whole lines. What is not a whole line yet, at the end, is left out."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk if rest else chunk
        cut = whole(data)
        rest = data[cut:]
        if cut:
            yield data[:cut]


def ended(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks of a file that nobody writes to any more: its last record ends, though a crash cut it off."""
    last = b"\n"
    for last in chunks:
        yield last
    if not last.endswith(b"\n"):
        yield b"\n"


def blocks_backwards(file: File, end: int) -> Iterator[bytes]:
    """Yield a plain file in blocks of whole lines, the last one first."""
    rest = b""
    while end:
        start = max(0, end - BLOCK)
        data = os.pread(file.descriptor, end - start, start) + rest
        end = start
        # A part belongs to what follows: a block begins behind the end of a line.
        cut = 0 if not start else _first_end(data)
        rest = data[:cut]
        if data[cut:]:
            yield data[cut:]
    if rest:
        yield rest


def whole(data: bytes) -> int:
    """Return where the last whole line of these bytes ends."""
    cut = end = data.rfind(b"\n") + 1
    while end and not final(data, begin := data.rfind(b"\n", 0, end - 1) + 1, end):
        end = begin
    return end or (cut if len(data) > _LONGEST else 0)


def _first_end(data: bytes) -> int:
    end = data.find(b"\n") + 1
    while end and not final(data, data.rfind(b"\n", 0, end - 1) + 1, end):
        end = data.find(b"\n", end) + 1
    return end or len(data)


def final(data: bytes, start: int, end: int) -> bool:
    """Tell whether the record at `data[start:end]` ends its line. What is no record (a crash leaves such) does."""
    return data.find(_FINAL, start, end) >= 0 or data.find(_STREAM, start, end) < 0


def time_of(record: bytes) -> str:
    """Return the time of a record as `full` writes it, "" where it has none."""
    at = record.rfind(b'"time":"')
    return full(record[at + 8 : record.find(b'"', at + 8)].decode()) if at >= 0 else ""


def full(time: str) -> str:
    """Return a time of the engine's with all nine digits of its fraction: such texts are in order as the times are."""
    return time if len(time) == 30 else f"{time[:19]}.{time[20:-1]:0<9}Z"


def position_of(file: File, since: str, end: int) -> int:
    """Return an offset in a plain file, at the beginning of a line, before which there is nothing since that time."""
    low, high = 0, end
    while high - low > 1 << 16:
        middle = (low + high) // 2
        data = os.pread(file.descriptor, 1 << 16, middle)
        begin = data.find(b"\n") + 1
        stop = data.find(b"\n", begin)
        if not begin or stop < 0:
            break  # a line as long as that: it is read from `low`
        if time_of(data[begin:stop]) < since:
            low = middle + begin
        else:
            high = middle
    return low
