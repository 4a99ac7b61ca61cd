"""What is told of a stack's backups at a glance, from notes alone: every look at a host asks, so it imports little."""

from __future__ import annotations

import time
from typing import Any

from .. import engine
from ..state import StackHome, read_json
from . import keep


def age(at: str) -> float:
    """Return the seconds since a moment as `state.now` tells it."""
    return time.time() - engine.moment(at)


def state(home: StackHome) -> dict[str, Any] | None:
    """Return what `status` tells of backups, None where nothing is kept: `{last, age_s, set, late, failed}`."""
    document = keep.known(home)
    if not document or not document.kept:
        return None
    good = keep.noted(home, "good.json")
    last = read_json(keep.folder(home) / "last.json") or {}
    return summary(good, last, keep.noted(home, "drill.json"), document.late_after)


def summary(good: dict[str, Any], last: dict[str, Any], drill: dict[str, Any], late_after: float) -> dict[str, Any]:
    """Return what `status` tells, by what was noted of the last good backup, the last one, the last drill ({}: there was none)."""
    old = age(good["at"]) if good else None
    failed = last.get("outcome") if last.get("outcome") not in (None, "done") else None
    return {
        "last": good.get("at"), "age_s": None if old is None else round(old), "set": good.get("set"),
        "late": old is None or old > late_after, "failed": failed,
        "drill": {k: drill[k] for k in ("at", "set", "verdict", "rto_s", "findings")} if drill else None,
    }  # fmt: skip
