"""`backup.drill`: a proof that the newest backup restores; the host does it, and its timer each week."""

from __future__ import annotations

from typing import Any

from slipway import report
from slipway.data import backup
from slipway.plan.operation import Operation
from slipway.settings.units import duration
from slipway.target.compose.workplace import Workplace
from slipway.target.who import by, command


def drill(env: str, stack: str | None) -> dict[str, Any]:
    """Restore the newest backup into throw-away containers, and return the evidence (see `slipway.agent.data.drill.run`).

    Raises:
        BadInput: there is no backup yet.
        LeaseHeld: a backup or a restore is at work.
        SlipwayError: the host can't make a drill. A backup that is not good raises nothing.
    """
    place = backup.find(env, stack)
    if not isinstance(place, Workplace):
        from slipway.target.kubernetes.data import drill as cluster

        return cluster.drill(place)
    before = backup.told_before(place)
    with (
        backup.on_host(place) as session,
        report.step(f"Restore {place.stack.name} into throw-away containers") as step,
    ):
        make = Operation("backup.drill", "begin", {"by": by(), "command": command()})
        told = session.perform(place.stack.name, [*before, make], progress=step.say)[-1]
        step.failed = told["verdict"] != "good"
        step.done(told["verdict"])
    return {"env": env, "stack": place.stack.name, **told}


def text(told: dict[str, Any]) -> str:
    """Return the evidence as people read it."""
    asked = ", ".join(told.get("asked") or {}) or "no api was asked"
    lines = [
        f"backup {told['set']}: {'it restores' if told['verdict'] == 'good' else 'IT IS NOT GOOD'}",
        f"  size       {backup.size(told.get('bytes', 0))}",
        f"  to restore {duration(told['rto_s'])}, until the services are ready: {asked}",
        f"  would lose {duration(told.get('rpo_s', 0))}: what is newer than the backup",
    ]
    return "\n".join([*lines, *(f"  ✗ {finding}" for finding in told["findings"])])
