"""The releases of an environment, from the ledger on its hosts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.target.compose import workplace
from slipway.target.compose.facts import live_release


def entries(env: str, stack: str | None) -> list[dict[str, Any]]:
    """Return the ledger's entries, newest first; each tells besides whether its release is live, warm or kept."""
    place = workplace.find(env, stack, start=False)
    if place is None:
        return []
    with workplace.opened(place, prepare=False) as hosts:
        facts = hosts.facts
    first = facts[place.env.hosts[0].name]
    live, warm = live_release(facts), first.left()
    found = []
    for entry in reversed(first.raw["ledger"]):
        release = entry.get("release")
        state = (
            "live"
            if release == live
            else "warm"
            if release == warm
            else "kept"
            if release in first.releases
            else "gone"
        )
        found.append({**entry, "state": state if release else ""})
    return found


def text(found: Sequence[dict[str, Any]]) -> str:
    """Return the list as people read it."""
    rows = [("at", "verb", "release", "state", "by", "outcome")]
    rows += [
        (e["at"][:19].replace("T", " "), e["verb"], e.get("release", ""), e["state"], e["by"], str(e["outcome"])[:80])
        for e in found
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]).rstrip() for row in rows
    )
