"""Files as the engine's `json-file` driver writes and rotates them, for tests of what reads them."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from pathlib import Path

_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_PART = 16384


def stamp(at: float) -> str:
    """Return a time as the engine writes it: no zeros at the end of its fraction."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{round(at % 1 * 1e6):06d}000"
    return text.rstrip("0").rstrip(".") + "Z"


def record(text: str, at: float, stream: str = "stdout") -> bytes:
    """Return the record, or the records, of one line."""
    parts = [text[n : n + _PART] for n in range(0, len(text), _PART)] or [""]
    told = []
    for number, part in enumerate(parts, 1):
        value = json.dumps(part + ("\n" if number == len(parts) else ""), ensure_ascii=False)
        for sign, escaped in _ESCAPED.items():
            value = value.replace(sign, escaped)
        told.append(f'{{"log":{value},"stream":"{stream}","time":"{stamp(at)}"}}\n')
    return "".join(told).encode()


class DockerLog:
    """One container's log, with the driver's own steps of a rotation."""

    def __init__(self, path: Path, files: int = 5, begin: float = 1_750_000_000.0, every: float = 0.001) -> None:
        self.path, self.files, self.begin, self.every = path, files, begin, every
        self.number = itertools.count()
        self._file = path.open("ab")

    def write(self, *texts: str) -> None:
        """Write lines, one each millisecond."""
        for text in texts:
            self._file.write(record(text, self.begin + next(self.number) * self.every))
        self._file.flush()

    def rotate(self, *, zipped: bool = True) -> None:
        """Rotate; `zipped`: and wait until the rotated file is."""
        for number in range(self.files - 1, 1, -1):
            for suffix in ("", ".gz"):
                before = self.path.with_name(f"{self.path.name}.{number - 1}{suffix}")
                if before.exists():
                    before.replace(self.path.with_name(f"{self.path.name}.{number}{suffix}"))
        self._file.close()
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._file = self.path.open("ab")
        if zipped:
            self.zip()

    def zip(self) -> None:
        """Zip the file that was rotated last."""
        plain = self.path.with_name(f"{self.path.name}.1")
        plain.with_name(f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes(), 1))
        plain.unlink()
