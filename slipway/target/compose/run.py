"""A run: one verb's work under the lease, from its beginning in the hosts' journals to its line in their ledgers."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from slipway import report
from slipway.errors import SlipwayError
from slipway.host.verify import Suite, warmed
from slipway.plan.executor import Receiving, execute
from slipway.plan.operation import Operation, Plan
from slipway.plan.outcome import Outcome
from slipway.settings.logs import size_in_bytes
from slipway.settings.model import Environment
from slipway.target.compose import lease, workplace
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.proof import verify_facts
from slipway.target.compose.session import HostError, HostSession
from slipway.target.compose.workplace import Open
from slipway.target.who import by, command


@dataclass(frozen=True)
class Run:
    """A run that has begun.

    Args:
        hosts: sessions, and what the hosts said once nobody else could change them.
        fence: the run's fencing number.
    """

    hosts: Open
    fence: int

    def on_every_host(
        self, *operations: Operation, more: Mapping[str, Sequence[Operation]] | None = None
    ) -> dict[str, list[dict[str, Any]] | None]:
        """Have every host do operations, side by side, `more` by its name; None for a host that can't: an error in hand says so."""

        def one(host: str, session: HostSession) -> list[dict[str, Any]] | None:
            wanted = [*operations, *(more or {}).get(host, ())]
            with contextlib.suppress(SlipwayError):
                return session.perform(self.hosts.place.stack.name, wanted, fence=self.fence)
            return None

        sessions = self.hosts.sessions
        with ThreadPoolExecutor(len(sessions)) as pool:
            return dict(zip(sessions, pool.map(one, sessions, sessions.values()), strict=True))

    def receiving(self) -> Receiving:
        """Return which releases each host's router sends requests to now."""
        told = self.on_every_host(Operation("router.receiving", "ask the router"))
        return {host: set(results[-1]["releases"]) if results else None for host, results in told.items()}


@contextlib.contextmanager
def begun(hosts: Open, verb: str) -> Iterator[Run]:
    """Hold the lease of the stack while a verb runs; the hosts keep its journal.

    The first host gives the lease, begins the run and tells its facts in one exchange: what a plan is made from can't change
    any more.

    Raises:
        LeaseHeld: somebody else has it, or froze deploys.
        BadInput: a host has this stack for another environment.
    """
    place = hosts.place
    take = lease.take(above=max(about.get("fence", 0) for about in hosts.about.values()))
    words = {"env": place.env.name, "verb": verb, "by": by(), "command": command()}
    begin = Operation("run.begin", "begin", {"run": words})
    challenge, look = place.look()
    first, *others = (hosts.sessions[h.name] for h in place.env.hosts)
    run, outcome = Run(hosts, 0), "interrupted"
    try:
        try:
            fence, _, facts = first.perform(place.stack.name, [take, begin, look])
            run = Run(hosts, int(fence["fence"]))
            with ThreadPoolExecutor(max(1, len(others))) as pool:
                told = list(pool.map(lambda s: s.perform(place.stack.name, [begin, look], fence=run.fence)[-1], others))
        except HostError as error:
            raise lease.refused(place.env.name, place.stack.name, error) from error
        raw = dict(zip([first.host.name, *(s.host.name for s in others)], [facts, *told], strict=True))
        seen = {name: HostFacts(name, value) for name, value in raw.items()}
        run = Run(Open(place, hosts.sessions, hosts.about, seen, challenge), run.fence)
        yield run
        outcome = "done"
    except SlipwayError as error:
        outcome = f"failed: {error.what}"
        raise
    finally:
        if run.fence:  # hosts on which it never began say so, and that is all
            run.on_every_host(Operation("run.end", "end", {"outcome": outcome}))


def carry_out(run: Run, plan: Plan, meta: dict[str, Any]) -> Outcome:
    """Execute a plan that changes the live release, write the ledger, and return the outcome. Raises as `execute`."""
    place = run.hosts.place
    first_step = len(report.current().steps)
    began = time.monotonic()
    entry: dict[str, Any] = {
        "verb": plan.verb,
        "release": plan.release,
        "before": plan.before,
        "by": by(),
        "run": run.fence,
        "images": meta["images"],
        "version": meta["version"],
        "host": os.uname().nodename,
        "outcome": "interrupted",
    }
    try:
        with _verifier(run, plan, meta) as verify:
            execute(plan, run.hosts.sessions, run.fence, verify, run.receiving)
        entry["outcome"] = "done"
    except SlipwayError as error:
        entry |= {"outcome": f"failed: {error.what}", "exit_code": error.exit_code}
        raise
    finally:
        steps = [(s.title, s.seconds) for s in report.current().steps[first_step:]]
        entry |= {"seconds": round(time.monotonic() - began, 2), "steps": {t: round(s, 2) for t, s in steps}}
        _finish(run, plan, entry)
    return Outcome(
        plan.verb, plan.env, plan.stack, plan.release, plan.before, True, place.url, plan, steps, meta["images"]
    )


@contextlib.contextmanager
def _verifier(run: Run, plan: Plan, meta: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """Yield what runs the plan's suite; its imports and connections are made while the hosts work."""
    place = run.hosts.place
    suite: Suite = "rollback" if plan.verb == "rollback" else "deploy"
    keys = place.access
    with warmed(place.env, suite, key_file=keys.key_file, known_hosts=keys.known_hosts) as verifier:

        def verify(step: str) -> None:
            workplace.refuse_findings(place, step, verifier.finish(verify_facts(place, plan.release, meta)))

        yield verify


def policy(env: Environment) -> Operation:
    """Return the operation that tells a host by which rules its timer stops and removes releases."""
    logs = {
        "keep": env.logs.keep,
        "keep_bytes": size_in_bytes(env.logs.keep_size),
        "free_bytes": size_in_bytes(env.logs.free),
    }
    rules = {"keep_warm": env.keep_warm, "keep_releases": env.keep_releases, "logs": logs}
    return Operation("policy.write", "note the policy", {"policy": rules})


def _finish(run: Run, plan: Plan, entry: dict[str, Any]) -> None:
    env = run.hosts.place.env
    ops = [policy(env)]
    if entry["outcome"] == "done":
        facts = {"verified": True, "failed": False}
        ops.insert(0, Operation("release.note", "mark as verified", {"release": plan.release, "facts": facts}))
    run.on_every_host(*ops, Operation("ledger.add", "write the ledger", {"entry": entry}))
