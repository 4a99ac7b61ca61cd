"""What an Ansible run tells: the JSON lines of ansible/plugins/callback/slipway.py as values."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_BRIEF = 20
"""Lines of a diff that a preview shows."""


@dataclass(frozen=True)
class Change:
    """A task that changed a host, or would."""

    host: str
    task: str
    diff: str = ""

    def brief(self) -> list[str]:
        """Return the first lines of the diff, and how many there are more."""
        lines = self.diff.splitlines()
        return lines if len(lines) <= _BRIEF + 1 else [*lines[:_BRIEF], f"… {len(lines) - _BRIEF} more lines"]


@dataclass(frozen=True)
class Trouble:
    """A task that failed on a host; `unreachable` where there was no task to speak of."""

    host: str
    task: str
    message: str
    unreachable: bool = False


@dataclass
class Events:
    """Collects a run's events. `feed` takes the output line by line; lines that are no event are kept as words."""

    say: Callable[[str], None] = lambda _: None
    changes: list[Change] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    finished: bool = False

    def feed(self, line: str) -> None:
        """Take one line of output."""
        try:
            event = json.loads(line) if line.startswith('{"event"') else None
        except ValueError:
            event = None
        if event is None:
            self.words.append(line)
        elif event["event"] == "task":
            self.say(event["name"])
        elif event["event"] == "changed":
            diff = "\n".join(text for part in event["diff"] if (text := render(part)))
            self.changes.append(Change(event["host"], event["task"], diff))
        elif event["event"] in ("failed", "unreachable"):
            unreachable = event["event"] == "unreachable"
            self.troubles.append(Trouble(event["host"], event["task"], event["message"], unreachable))
        elif event["event"] == "note":
            self.notes.setdefault(event["message"], []).append(event["host"])
        elif event["event"] == "stats":
            self.finished = True


def render(diff: dict[str, Any]) -> str:
    """Return one of Ansible's diffs as unified text ('' where nothing is shown to differ)."""
    if "prepared" in diff:
        return str(diff["prepared"]).strip()
    before, after = _lines(diff.get("before")), _lines(diff.get("after"))
    path = str(diff.get("path") or diff.get("before_header") or "")
    return "\n".join(difflib.unified_diff(before, after, path, path, lineterm="", n=1))


def _lines(value: Any) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True) if value else ""
    return text.splitlines()
