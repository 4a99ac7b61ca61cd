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

    def close(self) -> None:
        """End the session: the host stops what it does for it."""
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
    with _interruptible(sessions) as interrupted:
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
def _interruptible(sessions: Mapping[str, Session]) -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event: what is in hand is finished first. A second one ends the sessions at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(*_: object) -> None:
        if event.is_set():
            for session in sessions.values():
                session.close()
            return
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
        failures = {host: e for host, f in futures.items() if isinstance(e := f.exception(), Exception)}
        for host, error in failures.items():
            report.annotate(str(error), title=f"{host}: {phase.title}")
        if failures:
            raise next(iter(failures.values()))
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
    now = receiving()
    if phase.switched and _some(now, plan.release):
        return _go_back(plan, sessions, fence, error, receiving)
    told = {"where": error.where, "seen": error.seen, "todo": error.todo}
    failed = _all(plan, plan.undo, sessions, fence)
    if failed:
        told["seen"] += f"\n(and tidying up did not end: {failed.what}; the next deploy does it)"
    if phase.felt:
        return NeedsPerson(f"{error.what}; what needs it may fail until that is mended", **told)
    mended = type(error).__new__(type(error))
    vars(mended).update(vars(error))
    SlipwayError.__init__(mended, error.what, serves=words(now), **told)
    mended.exit_code = 2 if getattr(error, "bad_input", False) else error.exit_code
    return mended


def _go_back(
    plan: Plan,
    sessions: Mapping[str, Session],
    fence: int,
    error: SlipwayError,
    receiving: Callable[[], Receiving],
) -> SlipwayError:
    """Go back to the earlier release, on all hosts or on none. Return the error that tells how it ended."""
    before = receiving()
    again = f"inv status --env {plan.env}; then inv {plan.verb} --env {plan.env} again goes on from there"
    told = {"where": error.where, "seen": error.seen}
    if isinstance(error, Interrupted):
        what = f"interrupted after the switch to {plan.release}, which serves unverified"
        return NeedsPerson(what, serves=words(before), todo=error.todo or again, **told)
    if None in before.values():
        return NeedsPerson(f"{error.what}, after the switch", serves=words(before), todo=again, **told)
    if not plan.revert:
        what = f"{error.what}, after the switch, and there is no earlier release to go back to"
        todo = f"inv status --env {plan.env}; then mend it and deploy again"
        return NeedsPerson(what, serves=words(before), todo=todo, **told)
    failed = _all(plan, plan.revert, sessions, fence)
    now = receiving()
    if failed:
        what = f"{error.what}; going back to {plan.before} failed as well ({failed.what})"
        return NeedsPerson(what, serves=words(now), todo=again, **told)
    if _some(now, plan.release):
        what = f"{error.what}, after the switch; not every host could go back to {plan.before}"
        return NeedsPerson(what, serves=words(now), todo=again, **told)
    what = f"{error.what}, after the switch: rolled back"
    return RolledBack(what, serves=words(now), todo=error.todo, **told)


def _some(hosts: Receiving, release: str) -> bool:
    """Tell whether a host sends requests to a release, or does not tell."""
    return any(releases is None or release in releases for releases in hosts.values())


def _all(plan: Plan, phases: Sequence[Phase], sessions: Mapping[str, Session], fence: int) -> SlipwayError | None:
    """Carry out phases of a way back; return what stopped it, if anything did."""
    try:
        for phase in phases:
            _phase(plan, phase, sessions, fence, lambda _: None)
    except SlipwayError as error:
        return error
    return None


def words(hosts: Receiving) -> str:
    """Return words for what serves: one release, or what each host sends requests to."""
    found = {h: " and ".join(sorted(r)) or "nothing" if r is not None else "" for h, r in hosts.items()}
    if not found:
        return ""
    if len(set(found.values())) == 1 and "" not in found.values():
        only = next(iter(found.values()))
        return f"release {only}" if only != "nothing" else "nothing (this would be the first release)"
    return ", ".join(f"{h}: {r}" if r else f"{h} does not answer" for h, r in found.items())
