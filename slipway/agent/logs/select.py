"""Which lines are wanted. Most of a log is passed over as bytes: only records that hold a text they must hold are decoded."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from .files import final, full

# The parser of `re`, by either of its names: the second one is of Python before 3.11.
_names = ("re._parser", "re._constants") if sys.version_info >= (3, 11) else ("sre_parse", "sre_constants")
_parser, _constants = map(importlib.import_module, _names)

Line = tuple[str, str, str]
"""Time (see `files.full`), stream, text."""

_SAFE = re.compile(r"[A-Za-z0-9 _.:;,=*@#%$()\[\]{}|~^!?-]+")
"""What no encoder of JSON writes otherwise than it is."""
_LEAST = 2


class Wanted:
    """What is asked of lines.

    Args:
        since, until: times as the engine writes them ("": any); `after`: only what is later than that.
        grep: regular expression that the text must match.
        fields: keys of a JSON line, dotted where nested, and their values. Levels are compared without regard to case.
        request_id: of the request that a line belongs to.
        router: of the router's lines, those of this stack's requests: its backends begin with that, or its port's name is it.
    """

    def __init__(
        self,
        since: str = "",
        until: str = "",
        grep: str = "",
        fields: dict[str, str] | None = None,
        request_id: str = "",
        router: tuple[str, ...] = (),
        after: str = "",
    ) -> None:
        self.since, self.until, self.after = since, until or "~", after
        self.grep = re.compile(grep) if grep else None
        self.fields, self.request_id, self.router = dict(fields or {}), request_id, router
        self._needles = self._needed(grep)

    @property
    def everything(self) -> bool:
        """Whether no line's text is looked at."""
        return not (self.grep or self.fields or self.request_id or self.router)

    def _needed(self, grep: str) -> list[bytes]:
        """Return texts of which each wanted line holds one at least, as they stand in a record; [] where there are none."""
        found = [_longest(self.request_id), _literal(grep) if grep else ""]
        found += [_told(value) for key, value in self.fields.items() if key != "level"]
        best = max(found, key=len)
        if len(best) >= _LEAST:
            return [best.encode()]
        # Without its first letter a level is written in two ways only.
        level = _told(self.fields.get("level", "")).lstrip('\\"')[1:]
        return [v.encode() for v in dict.fromkeys((level, level.lower(), level.upper())) if len(v) >= _LEAST]

    def of(self, block: bytes) -> Iterator[Line]:
        """Yield the wanted lines of a block of whole lines."""
        at = 0
        # Where each needle is next: looked for again once it was passed.
        places = [block.find(needle) for needle in self._needles]
        while at < len(block):
            if places and (at := min((place for place in places if place >= 0), default=len(block))) == len(block):
                return
            start, end = _whole(block, at)
            line = _decoded(block[start:end])
            if line and self.wants(line):
                yield line
            at = end
            for number, needle in enumerate(self._needles):
                if 0 <= places[number] < end:
                    places[number] = block.find(needle, end)

    def wants(self, line: Line) -> bool:
        """Tell whether a line is wanted."""
        time, _, text = line
        if not self.since <= time <= self.until or time <= self.after:
            return False
        if self.grep and not self.grep.search(text):
            return False
        return not (self.fields or self.request_id or self.router) or self._has_fields(text)

    def _has_fields(self, text: str) -> bool:
        value = _object(text)
        if self.router and not _of_stack(value, self.router):
            return False
        if self.request_id:
            known = self.request_id in text if value is None else value.get("request_id") == self.request_id
            if not known:
                return False
        return not self.fields or (value is not None and all(_has(value, k, v) for k, v in self.fields.items()))


def _whole(block: bytes, at: int) -> tuple[int, int]:
    """Return where the line begins and ends that the byte at `at` belongs to: all its records, where it came in parts."""
    start = block.rfind(b"\n", 0, at) + 1
    end = block.find(b"\n", at) + 1 or len(block)
    while start and not final(block, before := block.rfind(b"\n", 0, start - 1) + 1, start):
        start = before
    while end < len(block) and not final(block, block.rfind(b"\n", 0, end - 1) + 1, end):
        end = block.find(b"\n", end) + 1 or len(block)
    return start, end


def _decoded(records: bytes) -> Line | None:
    """Return a line, of one record or of several parts. None for what a machine that broke down left of one."""
    try:
        if records.count(b"\n") <= 1:
            value = json.loads(records)
            return full(value["time"]), value.get("stream", ""), value["log"].rstrip("\n")
        parts = [json.loads(record) for record in records.splitlines() if record]
        text = "".join(part["log"] for part in parts)
        return full(parts[-1]["time"]), parts[-1].get("stream", ""), text.rstrip("\n")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _object(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _of_stack(value: dict[str, Any] | None, router: tuple[str, ...]) -> bool:
    """Tell whether a line of the router's is about this stack, or about none."""
    backend = str((value or {}).get("backend", ""))
    return not backend or backend.startswith(router[0]) or backend in router[1:]


def _has(value: dict[str, Any], key: str, wanted: str) -> bool:
    found: Any = value
    for part in [key] if key in value else key.split("."):
        if not isinstance(found, dict) or part not in found:
            return False
        found = found[part]
    told = found if isinstance(found, str) else json.dumps(found)
    return told.lower() == wanted.lower() if key == "level" else told == wanted


def _told(value: str) -> str:
    """Return how the value of a key stands in a record, or the longest part of it that can be told.

    What is no number and none of JSON's words must be a text, and the engine escapes the quotes around that.
    """
    try:
        json.loads(value)
    except ValueError:
        return f'\\"{value}\\"' if value and _longest(value) == value else _longest(value)
    return _longest(value)


def _longest(text: str) -> str:
    return max(_SAFE.findall(text), key=len, default="")


def _literal(pattern: str) -> str:
    """Return the longest text that whatever matches a regular expression must hold; "" where none can be told."""
    parsed = _parser.parse(pattern)
    if parsed.state.flags & re.IGNORECASE:
        return ""
    runs, run = [], ""
    for kind, argument in parsed:
        if kind is _constants.LITERAL:
            run += chr(argument)
            continue
        runs.append(run)
        run = ""
    return max((_longest(r) for r in [*runs, run]), key=len)
