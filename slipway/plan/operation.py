"""A plan as a value: the same one is shown by `--plan` and executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Operation:
    """One thing that a host does.

    Args:
        kind: which (see `slipway.agent.operations`).
        says: the same in words, for people.
        params: its parameters, JSON values; secrets among them go to the host and nowhere else.
    """

    kind: str
    says: str
    params: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def message(self) -> dict[str, Any]:
        """Return what is sent to the host."""
        return {"kind": self.kind, **self.params}


@dataclass(frozen=True)
class Phase:
    """What hosts do side by side, in one exchange with each.

    Args:
        title: shown as a step.
        hosts: operations by host name, done in order on each.
        verify: instead: the Testinfra suite that is run from here.
        switched: users already meet the new release when this phase runs.
        felt: users may notice when it fails: what it changes has no second beside it.
    """

    title: str
    hosts: Mapping[str, tuple[Operation, ...]] = field(default_factory=dict)
    verify: str = ""
    switched: bool = False
    felt: bool = False


@dataclass(frozen=True)
class Change:
    """One difference between what is and what will be, for people.

    Args:
        host: where ("" for all).
        what: image, settings, secret, migration, accessory, router, release.
        text: the difference in words, or as a diff (several lines).
    """

    host: str
    what: str
    text: str


@dataclass(frozen=True)
class Plan:
    """A verb's whole work.

    Args:
        verb: deploy, rollback, ...
        env: environment.
        stack: stack.
        release: the id of the release that will serve (before: the one that serves now, or None).
        phases: what is done.
        undo: what is done where a phase before the switch fails.
        revert: what is done where a phase after the switch fails; empty where there is nothing to go back to.
    """

    verb: str
    env: str
    stack: str
    release: str
    before: str | None
    changes: tuple[Change, ...]
    phases: tuple[Phase, ...]
    undo: tuple[Phase, ...] = ()
    revert: tuple[Phase, ...] = ()

    def lines(self) -> list[str]:
        """Return the plan as people read it."""
        head = f"Plan: {self.verb} {self.stack} to {self.env}: {self.before or 'nothing'} → {self.release}"
        lines = [head, "", "Changes"]
        for change in self.changes:
            first, *rest = change.text.splitlines() or [""]
            lines.append(f"  {change.what}{f' on {change.host}' if change.host else ''}: {first}")
            lines += [f"    {line}" for line in rest]
        lines += [] if self.changes else ["  none"]
        lines += ["", "Steps"]
        for number, phase in enumerate(self.phases, 1):
            lines.append(f"  {number}. {phase.title}")
            lines += [f"     {host}: {'; '.join(o.says for o in ops)}" for host, ops in phase.hosts.items()]
        return lines
