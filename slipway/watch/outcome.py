"""An outcome for people and for programs: the plan, or what was done, where it serves and what to try next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from slipway.plan.operation import Phase, Plan
from slipway.settings.units import duration

if TYPE_CHECKING:
    from slipway.plan.outcome import Outcome


def text(outcome: Outcome, took: float) -> str:
    """Return what a person reads at the end of a verb.

    Args:
        outcome: what it did, or would do.
        took: seconds that the whole command took.
    """
    if outcome.plan is not None and not outcome.steps:
        return "\n".join(outcome.plan.lines()) if outcome.changed else _nothing(outcome)
    if not outcome.changed:
        return _nothing(outcome)
    if outcome.release == "development":
        return f"{outcome.stack} runs for development; edits show at once\n\n  {outcome.url}"
    return "\n".join([f"{_done(outcome)}, {duration(took)}", "", f"  {outcome.url}", *_next(outcome)])


def document(outcome: Outcome, took: float) -> dict[str, Any]:
    """Return what a program reads: the outcome, and the plan as a value where there is one. See `text`."""
    plan = plan_document(outcome.plan) if outcome.plan and outcome.changed else None
    return {**outcome.document(), "seconds": round(took, 2), "plan": plan}


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as a value: operations in words, since their parameters hold secrets."""
    return {
        "changes": [{"host": c.host or None, "what": c.what, "text": c.text} for c in plan.changes],
        "phases": _phases(plan.phases),
        "undo": _phases(plan.undo),
        "revert": _phases(plan.revert),
    }


def _phases(phases: Iterable[Phase]) -> list[dict[str, Any]]:
    return [
        {
            "title": phase.title,
            "after_switch": phase.switched,
            "verify": phase.verify or None,
            "hosts": [{"name": h, "operations": [o.says for o in ops]} for h, ops in phase.hosts.items()],
        }
        for phase in phases
    ]


def summary(outcome: Outcome, took: float) -> str:
    """Return the outcome as Markdown, for the page of a pipeline's run; the steps are there already. See `text`."""
    if outcome.plan is not None and not outcome.steps and outcome.changed:
        return f"```text\n{text(outcome, took)}\n```"
    if not outcome.changed:
        return _nothing(outcome)
    words = f"{_done(outcome)}, {duration(took)}: <{outcome.url}>"
    images = [f"| {service} | `{image}` |" for service, image in sorted(outcome.images.items())]
    return "\n".join([words, *(["", "| service | image |", "| --- | --- |", *images] if images else [])])


def _done(outcome: Outcome) -> str:
    where = f"{outcome.stack} in {outcome.env}"
    if outcome.verb == "migrate":
        serves = f"release {outcome.before} serves" if outcome.before else "nothing is deployed yet"
        return f"{where}: the migrations of {outcome.release} were run; {serves}"
    before = f" (before: {outcome.before})" if _replaced(outcome) else ""
    return f"{where} serves release {outcome.release}{before}, verified"


def _replaced(outcome: Outcome) -> bool:
    return bool(outcome.before) and outcome.before != outcome.release


def _next(outcome: Outcome) -> list[str]:
    if outcome.verb == "deploy":
        back = "rollback" if _replaced(outcome) else "verify"
    elif outcome.verb == "rollback":
        back = "release.list"  # whether one can go back further stands there
    else:
        return []
    return ["", f"  inv status --env {outcome.env}", f"  inv {back} --env {outcome.env}"]


def _nothing(outcome: Outcome) -> str:
    if outcome.verb == "migrate":
        return f"no migration waits in {outcome.env}"
    return f"nothing to do: {outcome.stack} in {outcome.env} serves release {outcome.release} already, healthy, at {outcome.url}"
