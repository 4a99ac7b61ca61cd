"""The releases of an environment, from the ledger on its hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway import report, target
from slipway.target.compose import look, workplace
from slipway.target.compose.facts import HostFacts, live_release


def entries(env: str, stack: str | None) -> list[dict[str, Any]]:
    """Return the ledger's entries, newest first; each tells besides whether its release is live, warm, kept or gone.

    Raises:
        BadInput: settings are wrong, or a host key is.
        SlipwayError: no host answers. One that does not, among others, is told in a line.
    """
    if target.on_cluster(env):
        from slipway.target.kubernetes import status as cluster

        return cluster.releases(env, stack)
    place = workplace.find(env, stack, start=False, secrets=False)
    if place is None:
        return []
    facts, away = look.everywhere(place)
    if not facts:
        raise next(iter(away.values()))
    for name, error in away.items():
        report.err(f"! {name} is not asked: {error.what}")
    return told(facts)


def told(facts: Mapping[str, HostFacts]) -> list[dict[str, Any]]:
    """Return the ledger's entries as the first of these hosts has them, see `entries`."""
    first, live = next(iter(facts.values())), live_release(facts)
    # A run that was ended at once had no time to say how it ended.
    return [
        {"outcome": "interrupted", **entry, "state": _state(entry.get("release"), live, facts)}
        for entry in reversed(first.raw["ledger"])
    ]


def _state(release: str | None, live: str | None, facts: Mapping[str, HostFacts]) -> str:
    """Return where a release is now; "warm": it takes requests at once, since it still runs on every host."""
    if release is None:
        return ""
    if release == live:
        return "live"
    if all(f.running(release) for f in facts.values()):
        return "warm"
    return "kept" if any(release in f.releases for f in facts.values()) else "gone"


def text(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the list as people read it: where a release is now stands beside its newest entry only."""
    newest = {str(entry.get("release")): number for number, entry in reversed([*enumerate(found)])}
    told = [e if newest[str(e.get("release"))] == n else {**e, "state": ""} for n, e in enumerate(found)]
    rows = [("at", "verb", "release", "state", "by", "outcome"), *map(_row, told)]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]).rstrip() for row in rows
    )


def _row(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str, str]:
    verb, release, state, by = (str(entry.get(key) or "") for key in ("verb", "release", "state", "by"))
    at = str(entry.get("at", ""))[:19].replace("T", " ")
    return at, verb, release, state, by, " ".join(str(entry["outcome"]).split())
