"""An outcome in words: the plan, or what was done, where it serves and what to try next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.settings.units import duration

if TYPE_CHECKING:
    from slipway.target.compose.run import Outcome


def text(outcome: Outcome) -> str:
    """Return what a person reads at the end of a verb."""
    if outcome.plan is not None and not outcome.steps:
        return "\n".join(outcome.plan.lines()) if outcome.changed else _nothing(outcome)
    if not outcome.changed:
        return _nothing(outcome)
    if outcome.release == "development":
        return f"{outcome.stack} runs for development; edits show at once\n\n  {outcome.url}"
    total = duration(sum(seconds for _, seconds in outcome.steps))
    before = f" (before: {outcome.before})" if outcome.before and outcome.before != outcome.release else ""
    lines = [f"{outcome.stack} in {outcome.env} serves release {outcome.release}{before}, verified, {total}", ""]
    lines.append(f"  {outcome.url}")
    if outcome.verb in ("deploy", "rollback"):
        lines += [
            "",
            f"  inv status --env {outcome.env}",
            f"  inv rollback --env {outcome.env}" if outcome.before else f"  inv verify --env {outcome.env}",
        ]
    return "\n".join(lines)


def summary(outcome: Outcome) -> str:
    """Return the outcome as Markdown, for the summary page of a pipeline's run."""
    head = f"### {outcome.verb} {outcome.stack} to {outcome.env}: {outcome.release}"
    if not outcome.changed:
        return f"{head}\n\n{_nothing(outcome)}\n"
    rows = [f"| {title} | {duration(seconds)} |" for title, seconds in outcome.steps]
    images = [f"| {service} | `{image}` |" for service, image in sorted(outcome.images.items())]
    tables = [["| step | time |", "| --- | --- |", *rows], ["", "| service | image |", "| --- | --- |", *images]]
    return "\n".join([head, "", f"<{outcome.url}>", "", *tables[0], *(tables[1] if images else [])]) + "\n"


def _nothing(outcome: Outcome) -> str:
    if outcome.verb == "migrate":
        return f"no migration waits in {outcome.env}"
    return f"nothing to do: {outcome.stack} in {outcome.env} serves release {outcome.release} already, healthy, at {outcome.url}"
