"""Requests, errors and latency over time as an SVG: a pure function of a client's timeline and the steps to mark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _LEFT, _RIGHT, _TOP = 960, 64, 16, 96
_PANEL, _GAP, _FOOT = 110, 26, 52
_COLUMNS = 440  # at most: more could not be seen
_COLOURS = ("#3b6ea5", "#e0a03a", "#5a9e6f", "#8a63a6", "#c27ba0", "#7f8c8d")

Mark = tuple[float, str]
"""Seconds since the client's start, and the words that stand there ("": a line only)."""


def draw(
    timeline: Mapping[str, Any], marks: Sequence[Mark], title: str, begin: float = 0, end: float = math.inf
) -> str:
    """Return the picture.

    Args:
        timeline: of a client's report (see `Report.document`).
        marks: steps, each a vertical line.
        title: stands at the top.
        begin: the stretch that is shown, in seconds since the client's start.
        end: its end (default: the timeline's).
    """
    every = float(timeline["every"])
    last = min(end, every * len(timeline["requests"]))
    step = every * max(1, math.ceil((last - begin) / every / _COLUMNS))
    spans = [(begin + i * step, begin + (i + 1) * step) for i in range(max(1, math.ceil((last - begin) / step)))]
    cut = [slice(round(a / every), round(b / every)) for a, b in spans]
    releases = [[sum(counts[s]) / step for s in cut] for counts in timeline["answers"].values()]
    errors = [sum(timeline["errors"][s]) for s in cut]
    slowest = [max((p for p in timeline["p99_ms"][s] if p is not None), default=0.0) for s in cut]
    panels = [
        _panel(0, "requests/s", _stacked(releases), _COLOURS),
        _panel(1, "failed", [errors], ("#c0392b",)),
        _panel(2, "p99, ms", [slowest], ("#555555",)),
    ]
    height = _TOP + 3 * (_PANEL + _GAP) + _FOOT
    names = _legend(list(timeline["answers"]), height - 14)
    inside = [_text(_LEFT, 20, title, size=14), *panels, *_marks(marks, begin, last), _axis(begin, last), names]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>\n' + "\n".join(inside) + "\n</svg>\n"
    )


def _stacked(rows: list[list[float]]) -> list[list[float]]:
    """Return rows on top of each other, the highest first, so that each is drawn over those before it."""
    sums: list[list[float]] = []
    for row in rows:
        sums.append([a + b for a, b in zip(sums[-1], row, strict=True)] if sums else row)
    return sums[::-1]


def _panel(number: int, name: str, rows: list[list[float]], colours: Sequence[str]) -> str:
    top = _TOP + number * (_PANEL + _GAP)
    most = max((max(row) for row in rows), default=0.0)
    scale = _PANEL / (most or 1.0)
    parts = [
        _text(_LEFT - 6, top + 10, f"{most:,.0f}", anchor="end"),
        _text(_LEFT - 6, top + _PANEL, "0", anchor="end"),
    ]
    parts.append(_text(_LEFT, top - 6, name))
    for index, row in enumerate(rows):
        wide = (_WIDTH - _LEFT - _RIGHT) / len(row)
        corners = [
            (_LEFT + (i + j) * wide, top + _PANEL - value * scale) for i, value in enumerate(row) for j in (0, 1)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
        colour = colours[(len(rows) - 1 - index) % len(colours)]
        base = f"{_LEFT},{top + _PANEL} {path} {_WIDTH - _RIGHT},{top + _PANEL}"
        parts.append(f'<polygon points="{base}" fill="{colour}"/>')
    parts.append(f'<path d="M{_LEFT} {top + _PANEL}H{_WIDTH - _RIGHT}" stroke="#999999"/>')
    return "\n".join(parts)


def _marks(marks: Sequence[Mark], begin: float, end: float) -> list[str]:
    parts = []
    bottom = _TOP + 3 * _PANEL + 2 * _GAP
    for at, words in marks:
        if begin <= at <= end:
            x = _x(at, begin, end)
            parts.append(f'<path d="M{x:.1f} {_TOP - 6}V{bottom}" stroke="#000000" stroke-opacity="0.35"/>')
            if words:
                turned = f' transform="rotate(-32 {x:.1f} {_TOP - 10})"'
                parts.append(_text(x, _TOP - 10, words, size=10, more=turned))
    return parts


def _x(at: float, begin: float, end: float) -> float:
    return _LEFT + (at - begin) / (end - begin) * (_WIDTH - _LEFT - _RIGHT)


def _axis(begin: float, end: float) -> str:
    y = _TOP + 3 * _PANEL + 2 * _GAP + 16
    each = next(s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 10**6) if (end - begin) / s <= 12)
    first = math.ceil(begin / each) * each
    ticks = range(first, math.floor(end) + 1, each)
    return "\n".join(_text(_x(t, begin, end), y, f"{t} s", anchor="middle") for t in ticks)


def _legend(releases: list[str], y: float) -> str:
    parts, x = [], float(_LEFT)
    for number, release in enumerate(releases[: len(_COLOURS)]):
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{_COLOURS[number]}"/>')
        parts.append(_text(x + 14, y, release))
        x += 24 + 7 * len(release)
    return "\n".join(parts)


def _text(x: float, y: float, words: str, *, size: int = 11, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{more}>{escape(words)}</text>'
