"""The executor: carries a plan out, phase by phase, hosts side by side. The only place with side effects on hosts."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
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


Receiving = Mapping[str, Set[str] | None]
"""Which releases each host sends requests to; None where it does not tell."""


def execute(
    plan: Plan,
    sessions: Mapping[str, Session],
    fence: int,
    verify: Callable[[str], None] = lambda _: None,
    receiving: Callable[[], Receiving] = dict,
) -> Results:
    """Carry out `plan`.

    Args:
        plan: what to do.
        sessions: a session for each host of the plan.
        fence: the run's number.
        verify: runs a verification suite (a step of its own); raises SlipwayError where it fails.
        receiving: asks the routers which releases get requests: after a failure that decides, not how far the plan came.

    Returns:
        What the operations returned.

    Raises:
        SlipwayError: a phase before the switch failed and was undone (exit code 1, or 2 for bad input).
        RolledBack: a phase after the switch failed; the earlier release serves again (4).
        NeedsPerson: a phase after the switch failed, and there was nothing to go back to, or going back failed; or
            somebody interrupted it there, or a host does not tell what it serves (5).
    """
    results: Results = {}
    report.current().touched = True
    with _interruptible() as interrupted:
        for phase in plan.phases:
            try:
                results[phase.title] = _phase(plan, phase, sessions, fence, verify)
                if interrupted.is_set() and phase is not plan.phases[-1]:
                    raise Interrupted("interrupted", todo=f"inv {plan.verb} --env {plan.env} again goes on")
            except SlipwayError as error:
                raise _recover(plan, phase, sessions, fence, error, receiving) from error
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
    plan: Plan,
    phase: Phase,
    sessions: Mapping[str, Session],
    fence: int,
    error: SlipwayError,
    receiving: Callable[[], Receiving],
) -> SlipwayError:
    """Undo or go back, as far as the routers say is needed. Return the error that tells how it ended."""
    hosts = receiving()
    silent = sorted(h for h, releases in hosts.items() if releases is None)
    moved = phase.switched and (bool(silent) or any(plan.release in (r or ()) for r in hosts.values()))
    again = f"inv status --env {plan.env}; then inv {plan.verb} --env {plan.env} again goes on from there"
    told = {"where": error.where, "seen": error.seen, "todo": error.todo or again}
    if moved and isinstance(error, Interrupted):
        return NeedsPerson(f"interrupted after the switch to {plan.release}, which serves unverified", **told)
    if moved and silent:
        return NeedsPerson(f"{error.what}, after the switch", **{**told, "serves": words(hosts), "todo": again})
    if moved and not plan.revert:
        told["todo"] = f"inv status --env {plan.env}; then mend it and deploy again"
        what = f"{error.what}, after the switch, and there is no earlier release to go back to"
        return NeedsPerson(what, serves=words(hosts), **told)
    for back in plan.revert if moved else plan.undo:
        try:
            _phase(plan, back, sessions, fence, lambda _: None)
        except SlipwayError as second:
            if moved:
                what = f"{error.what}; going back to {plan.before} failed as well ({second.what})"
                return NeedsPerson(what, **{**told, "serves": words(receiving()), "todo": again})
            told["seen"] += f"\n(and tidying up did not end: {second.what}; the next deploy does it)"
    if moved:
        return RolledBack(f"{error.what}, after the switch: rolled back", serves=words(receiving()), **told)
    mended = type(error).__new__(type(error))
    SlipwayError.__init__(mended, error.what, serves=words(hosts), **{**told, "todo": error.todo})
    mended.exit_code = 2 if getattr(error, "bad_input", False) else error.exit_code
    return mended


def words(hosts: Receiving) -> str:
    """Return words for what serves: one release, or what each host sends requests to."""
    found = {h: " and ".join(sorted(r)) or "nothing" if r is not None else "" for h, r in hosts.items()}
    if not found:
        return ""
    if len(set(found.values())) == 1 and "" not in found.values():
        only = next(iter(found.values()))
        return f"release {only}" if only != "nothing" else "nothing (this would be the first release)"
    return ", ".join(f"{h}: {r}" if r else f"{h} does not answer" for h, r in found.items())
