"""How much disk logs may take: what is too old or too much goes; and what goes first where the disk is nearly full.

Done by the host's own timer each minute. What was freed, and why, is in the host's journal and in `logs/freed.json`; `inv status`
tells it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from .. import engine
from ..failure import OperationFailed
from ..state import HOME, StackHome, now, read_json, write_json
from . import keep

_FREED = keep.FOLDER / "freed.json"
_KEPT_NOTES = 20


def bound() -> None:
    """Remove kept logs that are too old or too many; where the disk is nearly full, free what nobody needs."""
    policies = {p.name: policy for p in (HOME / "stacks").glob("*") if (policy := _policy(p.name))}
    for at, _, path in keep.all_kept():
        policy = policies.get(path.parent.name)
        if policy and time.time() - at > policy["keep"]:
            keep.remove(path)
    if policies:
        _at_most(max(p["keep_bytes"] for p in policies.values()))
        _free(max(p["free_bytes"] for p in policies.values()))


def _policy(stack: str) -> dict[str, Any] | None:
    policy = read_json(StackHome(stack).policy) or {}
    return policy.get("logs")


def _at_most(most: int) -> None:
    total = 0
    for _, size, path in reversed(keep.all_kept()):
        total += size
        if total > most:
            keep.remove(path)


def free_bytes() -> int:
    """Return how much of the disk that Slipway and the engine are on is free."""
    state = os.statvfs(HOME)
    return state.f_bavail * state.f_frsize


def _free(least: int) -> None:
    before = free_bytes()
    if before >= least:
        return
    done = []
    for _, _, path in keep.all_kept():
        if free_bytes() >= least:
            break
        done.append((f"the kept log {path.name}", keep.remove(path)))
    if free_bytes() < least:
        done += _unneeded()
    note = {
        "at": now(),
        "least": least,
        "before": before,
        "after": free_bytes(),
        "removed": [{"what": what, "bytes": size} for what, size in done],
    }
    notes = read_json(_FREED) or []
    if done or not notes or notes[-1]["removed"]:  # that nothing is left to be freed is told once
        with contextlib.suppress(OSError):  # as full as that
            write_json(_FREED, [*notes[-_KEPT_NOTES:], note])
        print(now(), words(note), file=sys.stderr)


def _unneeded() -> list[tuple[str, int]]:
    """Remove what the engine keeps and nobody needs. Return what, and its size."""
    from ..data import storage  # it takes part in backups: imported where the disk is full, and nowhere else

    done = []
    with contextlib.suppress(OperationFailed):
        told = engine.api("POST", "/build/prune", timeout=300) or {}
        done += [("the build cache", told["SpaceReclaimed"])] if told.get("SpaceReclaimed") else []
        for image in storage.unused_images():
            with contextlib.suppress(OperationFailed):  # somebody begins to use it
                engine.api("DELETE", f"/images/{image['id']}", force="true", timeout=300)
                done.append((f"the image {image['name']}", image["bytes"]))
    return done


def words(note: dict[str, Any]) -> str:
    """Return a note of what was freed as people read it, in one line."""
    removed = ", ".join(r["what"] for r in note["removed"]) or "nothing is left to be freed"
    sizes = f"{note['before'] / 1e6:.0f} MB of disk were free, {note['least'] / 1e6:.0f} are wanted"
    return f"{sizes}; removed: {removed}; {note['after'] / 1e6:.0f} MB are free"


def told() -> dict[str, Any]:
    """Return what `status` tells of the disk: how much is free, and the last note of what was freed, where there is one."""
    notes = read_json(_FREED) or []
    return {"free": free_bytes(), "freed": notes[-1] if notes else None}
