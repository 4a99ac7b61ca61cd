"""What pods of a stack's data have noted, for `status` and `release.list`. Pure, but for the clock."""

from __future__ import annotations

import json
from typing import Any

from slipway.agent.data import glance
from slipway.data import document
from slipway.settings.model import Environment, Stack
from slipway.target.kubernetes.data import pods
from slipway.target.kubernetes.facts import Facts


def _notes(facts: Facts, stack: str) -> dict[str, str]:
    found = facts.named("ConfigMap", pods.notes_name(stack)) or {}
    return dict(found.get("data") or {})


def state(env: Environment, stack: Stack, facts: Facts) -> dict[str, Any] | None:
    """Return what `status` tells of backups (see `slipway.agent.data.backup.state`); None where nothing is kept."""
    if not document.keeps(env, stack) or not env.backup:
        return None
    told = {key: json.loads(text) for key, text in _notes(facts, stack.name).items() if key.endswith(".json")}
    # A note on another repository says nothing of this one.
    good, drill = (
        n if (n := told.get(key) or {}).get("repository") == env.backup.repository else {}
        for key in ("good.json", "drill.json")
    )
    return glance.summary(good, told.get("last.json") or {}, drill, env.backup.late_after)


def ledger(facts: Facts, stack: str) -> list[dict[str, Any]]:
    """Return what was done, oldest first: the deploys' ledger, and that of backups and drills, by their times."""
    mine = [json.loads(line) for line in _notes(facts, stack).get("ledger", "").splitlines()]
    return sorted([*facts.ledger, *mine], key=lambda entry: str(entry.get("at", "")))
