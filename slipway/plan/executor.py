"""The executor: carries a plan out, phase by phase, hosts side by side. The only place with side effects on hosts."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from slipway import report
from slipway.errors import NeedsPerson, RolledBack, SlipwayError
from slipway.plan.operation import Operation, Phase, Plan


class Session(Protocol):
    """What the executor needs of a connection to a host."""

    def perform(
        self, stack: str, operations: Sequence[Operation], *, fence: int | None, progress: Callable[[str], None]
    ) -> list[dict[str, Any]]:
        """Have the host do operations in order; return their results."""
        ...


Results = dict[str, dict[str, list[dict[str, Any]]]]
"""Results of operations, by phase title and host."""


def execute(
    plan: Plan, sessions: Mapping[str, Session], fence: int, verify: Callable[[str], None] = lambda _: None
) -> Results:
    """Carry out `plan`.

    Args:
        plan: what to do.
        sessions: a session for each host of the plan.
        fence: the run's number.
        verify: runs a verification suite (a step of its own); raises SlipwayError where it fails.

    Returns:
        What the operations returned.

    Raises:
        SlipwayError: a phase before the switch failed and was undone (exit code 1, or 2 for bad input).
        RolledBack: a phase after the switch failed; the earlier release serves again (4).
        NeedsPerson: a phase after the switch failed, and there was nothing to go back to, or going back failed; or
            somebody interrupted it there (5).
    """
    results: Results = {}
    with _interruptible() as interrupted:
        for phase in plan.phases:
            try:
                results[phase.title] = _phase(plan, phase, sessions, fence, verify)
                if interrupted.is_set() and phase is not plan.phases[-1]:
                    raise Interrupted("interrupted", todo=f"inv {plan.verb} --env {plan.env} again goes on")
            except SlipwayError as error:
                raise _recover(plan, phase, sessions, fence, error) from error
    return results


class Interrupted(SlipwayError):
    """Somebody pressed Ctrl-C, or the process was told to end."""


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event: what is in hand is finished first. A second one ends the process at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(*_: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        report.say("interrupted: what is in hand is finished first (once more ends it at once)")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _phase(
    plan: Plan, phase: Phase, sessions: Mapping[str, Session], fence: int, verify: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    if phase.verify:
        verify(phase.verify)
        return {}
    with report.step(phase.title) as step:

        def on_host(host: str) -> list[dict[str, Any]]:
            def progress(words: str) -> None:
                step.say(f"{host}: {words}" if len(phase.hosts) > 1 else words)

            return sessions[host].perform(plan.stack, phase.hosts[host], fence=fence, progress=progress)

        with ThreadPoolExecutor(max(1, len(phase.hosts))) as pool:
            futures = {host: pool.submit(on_host, host) for host in phase.hosts}
        failures = [e for f in futures.values() if isinstance(e := f.exception(), Exception)]
        if failures:
            raise failures[0]
        return {host: future.result() for host, future in futures.items()}


def _recover(
    plan: Plan, phase: Phase, sessions: Mapping[str, Session], fence: int, error: SlipwayError
) -> SlipwayError:
    serves = f"release {plan.before}" if plan.before else ""
    back = plan.revert if phase.switched else plan.undo
    told = {"where": error.where, "seen": error.seen, "todo": error.todo}
    reached = any(p.switched for p in plan.phases[: plan.phases.index(phase) + 1])
    if isinstance(error, Interrupted) and reached:
        return NeedsPerson(f"interrupted after the switch to {plan.release}, which serves unverified", **told)
    if phase.switched and not back:
        told["todo"] = f"inv status --env {plan.env}; then mend it and deploy again"
        return NeedsPerson(f"{error.what}, after the switch, and there is no earlier release to go back to", **told)
    for undo in back:
        try:
            _phase(plan, undo, sessions, fence, lambda _: None)
        except SlipwayError as second:
            told["todo"] = told["todo"] or f"inv status --env {plan.env}, then inv deploy --env {plan.env} again"
            if phase.switched:
                what = f"{error.what}; going back to {plan.before} failed as well ({second.what})"
                return NeedsPerson(what, **told)
            told["seen"] += f"\n(and tidying up did not end: {second.what}; the next deploy does it)"
    if phase.switched:
        return RolledBack(f"{error.what}, after the switch: rolled back", serves=serves, **told)
    mended = type(error).__new__(type(error))
    SlipwayError.__init__(mended, error.what, serves=serves or "nothing (this would be the first release)", **told)
    mended.exit_code = 2 if getattr(error, "bad_input", False) else error.exit_code
    return mended
