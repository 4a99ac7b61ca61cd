"""A line as people read it, in colours on a terminal, or as a JSON line for programs."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from slipway.watch.logs.feeds import Line

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
_TOLD = ("timestamp", "time", "ts", "level", "severity", "message", "msg", "service", "release", "method", "path")
"""Keys that a line says at its beginning, or that are known anyway."""

_DIM, _RED, _YELLOW = 2, 31, 33
_LEVELS = {"DEBUG": _DIM, "WARN": _YELLOW, "WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": _RED, "FATAL": _RED}
_SERVICES = (36, 32, 35, 34, 96, 92, 95, 94)


def as_json(line: Line) -> str:
    """Return a JSON line: `time`, `host`, `service`, `release`, `container`, `stream`, `text`, and `fields` of one that is JSON."""
    value = {"time": line.time, "host": line.host, **line.source, "stream": line.stream, "text": line.text}
    fields = _fields(line.text)
    return json.dumps(value if fields is None else {**value, "fields": fields}, ensure_ascii=False)


def as_text(colours: bool) -> Callable[[Line], str]:
    """Return what makes a line for people; what could steer a terminal in it is made visible."""

    def paint(text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colours and text else text

    def told(line: Line) -> str:
        source = line.source
        fields = _fields(line.text)
        level, words = ("", line.text) if fields is None else _words(fields)
        name = f"{line.host} {_name(source)}"
        colour = _SERVICES[zlib.crc32(source["service"].encode()) % len(_SERVICES)]
        parts = (
            paint(f"{line.time[:10]} {line.time[11:23]}", _DIM),
            paint(name, colour),
            paint(level, _LEVELS.get(level, 0)),
            paint(_plain(words), _LEVELS[level]) if level in ("DEBUG", "ERROR", "CRITICAL", "FATAL") else _plain(words),
        )
        return " ".join(p for p in parts if p)

    return told


def _name(source: Mapping[str, str]) -> str:
    """Return a service with the number of its replica, and how its release ends."""
    number = source["container"].rpartition("-")[2]
    name = source["service"] + (f".{number}" if number.isdigit() else "")
    return f"{name}@{source['release'].rpartition('-')[2]}" if source["release"] else name


def _fields(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _words(fields: Mapping[str, Any]) -> tuple[str, str]:
    level = str(fields.get("level") or fields.get("severity") or "").upper()
    said = [str(fields[k]) for k in ("message", "msg") if fields.get(k)][:1]
    request = [str(fields[k]) for k in ("method", "path") if fields.get(k)]
    rest = [f"{k}={_value(v)}" for k, v in fields.items() if k not in _TOLD]
    return level, " ".join([*said, *request, *rest])


def _value(value: Any) -> str:
    if isinstance(value, str) and value and not re.search(r'[\s"=]', value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _plain(text: str) -> str:
    return _CONTROL.sub(lambda m: f"\\x{ord(m[0]):02x}", text)
