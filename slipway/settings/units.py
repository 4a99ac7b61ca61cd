"""Units as people write them."""

from __future__ import annotations

import re

_LONGEST = 10 * 365 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: object) -> float:
    """Return seconds for `90`, `"90s"`, `"10m"`, `"1h30m"`, `"500ms"`. Raise ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
        return float(value)
    if isinstance(value, str) and len(value) <= 20 and re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d))+", value):
        return sum(float(n) * _UNITS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value))
    raise ValueError("should be a duration such as 90s, 10m or 1h30m")


def duration(seconds: float) -> str:
    """Return seconds as people read them: `0.8 s`, `12.3 s`, `4 min 5 s`, `2 h 3 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} days"
