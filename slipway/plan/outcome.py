"""What a verb did, for people and programs; the same on every target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from slipway.plan.operation import Plan


@dataclass
class Outcome:
    """What a verb did."""

    verb: str
    env: str
    stack: str
    release: str
    before: str | None
    changed: bool
    url: str
    plan: Plan | None = None
    steps: list[tuple[str, float]] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the outcome as a JSON document."""
        steps = [{"step": title, "seconds": round(seconds, 2)} for title, seconds in self.steps]
        keys = ("verb", "env", "stack", "release", "before", "changed", "url", "images")
        return {**{k: getattr(self, k) for k in keys}, "steps": steps}
