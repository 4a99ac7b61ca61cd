"""Reading one log: what is in it, the last of it, and what comes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from . import files
from .files import File
from .select import Line, Wanted

_SLACK = timedelta(seconds=2)
"""Standard output and error are written by two hands: times in a file may be a little out of order."""


class Reader:
    """Reads a log from when it was opened: `past` or `last` once, then `more` as often as one likes.

    Args:
        path: the file that is written to; or, `zipped`, all that was kept of a removed container.

    Raises:
        PermissionError: this user may not read it.
    """

    def __init__(self, path: Path, *, zipped: bool = False) -> None:
        self.path = path
        self._files: list[File] = [File(path, zipped=True)] if zipped else files.open_all(path)
        self._end = self._whole_until()
        self._rest = b""

    def close(self) -> None:
        """Close its files."""
        for file in self._files:
            file.close()
        self._files = []

    def _whole_until(self) -> int:
        """Return where the last whole line of the file that is written to ends, now."""
        if not self._files or self._files[-1].zipped:
            return 0
        file = self._files[-1]
        start = max(0, file.size - files.BLOCK)
        data = os.pread(file.descriptor, file.size - start, start)
        return start + files.whole(data)

    def _of(self, file: File) -> int:
        return self._end if file is self._files[-1] else file.size

    def past(self, wanted: Wanted) -> Iterator[Line]:
        """Yield the wanted lines of what was there when this was opened, in order."""
        since, until = _earlier(max(wanted.since, wanted.after)), _later(wanted.until)
        oldest = datetime.fromisoformat(since[:19] + "+00:00").timestamp() if since else 0.0
        # As one: a long line may begin in one file and end in the next.
        chunks = (c for file in list(self._files) if file.written + 1 >= oldest for c in self._chunks(file, since))
        for block in files.blocks(chunks):
            if until and files.time_of(block[: _head(block)]) > until:
                return
            yield from wanted.of(block)

    def _chunks(self, file: File, since: str) -> Iterator[bytes]:
        end = self._of(file)
        if file.zipped:
            return files.ended(file.chunks(0, None))
        found = file.chunks(files.position_of(file, since, end) if since else 0, end)
        return found if file is self._files[-1] else files.ended(found)

    def last(self, wanted: Wanted, count: int) -> list[Line]:
        """Return the last wanted lines of what was there when this was opened, at most so many, in order."""
        found: list[Line] = []  # newest first
        for file in self._files[::-1]:
            if len(found) >= count:
                break
            if file.zipped:
                lines: deque[Line] = deque(maxlen=count - len(found))
                for block in files.blocks(file.chunks(0, None)):
                    lines.extend(wanted.of(block))
                found += list(lines)[::-1]
                continue
            for block in files.blocks_backwards(file, self._of(file)):
                found += list(wanted.of(block))[::-1]
                if len(found) >= count or files.time_of(block[: _head(block)]) < _earlier(wanted.since):
                    break
        return found[:count][::-1]

    def more(self, wanted: Wanted) -> Iterator[Line]:
        """Yield the wanted lines that were written since; a file that was rotated is read to its end, then those after it."""
        while True:
            if not self._files:
                self._files, self._end = files.open_all(self.path), 0
                if not self._files:
                    return
                self._files, rest = self._files[:1], self._files[1:]
                for file in rest:
                    file.close()
            file = self._files[-1]
            after = self._after(file)  # before it is read to its end: nothing is written to it afterwards
            yield from self._written(file, wanted)
            if not after:
                return
            self.close()
            self._files, self._end = [after[0]], 0
            for later in after[1:]:
                later.close()

    def _written(self, file: File, wanted: Wanted) -> Iterator[Line]:
        for chunk in file.chunks(self._end, None):
            self._end += len(chunk)
            data = self._rest + chunk
            cut = files.whole(data)
            self._rest = data[cut:]
            yield from wanted.of(data[:cut])

    def _after(self, file: File) -> list[File]:
        """Return the files that came after this one, oldest first; [] where it is still written to, or its container is gone."""
        try:
            if self.path.stat().st_ino == file.identity[1]:
                return []
        except FileNotFoundError:
            return []
        found = files.open_all(self.path)
        at = next((n for n, f in enumerate(found) if f.identity == file.identity), None)
        if at is None:  # it is zipped by now: gzip notes how long it was
            size = os.fstat(file.descriptor).st_size
            at = next((n for n, f in enumerate(found) if f.zipped and f.unzipped_size() == size), len(found) - 2)
        for earlier in found[: at + 1]:
            earlier.close()
        return found[at + 1 :]


def _head(block: bytes) -> int:
    return block.find(b"\n") + 1


def _earlier(time: str) -> str:
    return _moved(time, -_SLACK) if time else ""


def _later(time: str) -> str:
    return _moved(time, _SLACK) if time and time != "~" else ""


def _moved(time: str, by: timedelta) -> str:
    moment = datetime.fromisoformat(time[:19] + "+00:00") + by
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + time[19:]
