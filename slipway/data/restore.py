"""`restore`: what a backup holds, put in the place of what is there, or beside it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway import report, target
from slipway.data import backup, restore_plan
from slipway.errors import BadInput, SlipwayError
from slipway.plan.executor import execute
from slipway.plan.operation import Operation, Plan
from slipway.target.compose import deploy, workplace
from slipway.target.compose.facts import live_release
from slipway.target.compose.run import Run, begun
from slipway.target.compose.workplace import Workplace
from slipway.target.conversation import Conversation, HostError
from slipway.target.who import by, command

if TYPE_CHECKING:
    from slipway.target.kubernetes.workplace import Place


@dataclass(frozen=True)
class Wanted:
    """What is to be restored.

    Args:
        snapshot: the beginning of a backup's id, or `latest`.
        only: services; () is all of it.
        into: a name: beside what is there, under that name.
        yes: whoever types has agreed.
        save: make a safety snapshot first.
    """

    snapshot: str = "latest"
    only: tuple[str, ...] = ()
    into: str = ""
    yes: bool = False
    save: bool = True


@dataclass
class Restored:
    """What a restore did, for people and programs."""

    env: str
    stack: str
    set: Mapping[str, Any]
    seconds: float = 0.0
    safety: str | None = None
    into: str = ""
    done: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    plan: Plan | None = None

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        keys = ("env", "stack", "seconds", "safety", "into", "done", "words")
        return {"verb": "restore", **{k: getattr(self, k) for k in keys}, "set": dict(self.set)}

    def text(self) -> str:
        """Return it as people read it."""
        if self.plan:
            return "\n".join(self.plan.lines())
        lines = [f"restored {self.set['id']} in {self.seconds:.1f} s: {'; '.join(self.done)}"]
        lines += [f"what was there before is the safety snapshot {self.safety}"] if self.safety else []
        return "\n".join([*lines, *(f"! {w}" for w in self.words)])


def restore(env: str, stack: str | None, wanted: Wanted, *, plan_only: bool = False, yes: bool = False) -> Restored:
    """Restore a backup.

    Args:
        env: environment.
        stack: stack (None: the first).
        wanted: what, and how.
        plan_only: show what would be done.
        yes: agree to installing a container engine.

    Raises:
        BadInput: there is no such backup, it is another stack's, this server can't take it, or nobody agreed.
        LeaseHeld: somebody deploys, or a backup is at work.
        SlipwayError: it could not be loaded, is not what its manifest says, or there is no safety snapshot: nothing was
            changed (exit code 1); or it could not be put in place (5).
    """
    if target.on_cluster(env):
        from slipway.target.kubernetes.data import restore as cluster

        return cluster.restore(env, stack, wanted, plan_only=plan_only)
    place = _find(env, stack, plan_only, yes)
    with workplace.opened(place, prepare=not plan_only, look=True) as hosts:
        first = hosts.sessions[place.env.hosts[0].name]
        chosen = look(place, first, wanted)
        if wanted.into:
            return beside(place, first, chosen, wanted, restore_plan.targets(place.stack))
        plan = restore_plan.plan_restore(deploy.request_for(hosts), chosen, wanted.only, save=wanted.save)
        if plan_only:
            return Restored(env, place.stack.name, chosen["set"], plan=plan)
        agree(place, live_release(hosts.facts), chosen, wanted)
        with begun(hosts, "restore") as run:
            request = deploy.request_for(run.hosts)
            return _carry_out(run, restore_plan.plan_restore(request, chosen, wanted.only, save=wanted.save), chosen)


def _find(env: str, stack: str | None, plan_only: bool, yes: bool) -> Workplace:
    if not plan_only:
        workplace.find(env, stack, yes=yes)  # an empty environment's lab is started
    return backup.on_hosts(env, stack, yes=yes)


def look(place: Workplace | Place, session: Conversation, wanted: Wanted) -> Mapping[str, Any]:
    """Return the backup that is meant, as the host tells it; the host is told first what is kept, and where."""
    before = backup.told_before(place)
    known = {k.service for k in place.stack.kept}
    unknown = sorted(set(wanted.only) - known)
    if unknown:
        raise BadInput(f"nothing is kept of {', '.join(unknown)}", seen=f"kept: {', '.join(sorted(known))}")
    params = {"snapshot": wanted.snapshot, "only": list(wanted.only)}
    with report.step("Look at the backups") as step:
        try:
            told = session.perform(
                place.stack.name, [*before, Operation("restore.look", "begin", params)], progress=step.say
            )[-1]
        except HostError as error:
            raise backup.failure(place, error) from error
        step.done(f"{told['set']['id']}, {backup.size(sum(p['bytes'] for p in told['parts']))}")
    return told


def agree(place: Workplace | Place, live: str | None, chosen: Mapping[str, Any], wanted: Wanted) -> None:
    """Have a person type the environment's name, unless `--yes` was given. Raises BadInput where nobody agrees."""
    if wanted.yes:
        return
    names = ", ".join(f"{p['service']} ({p['kind']})" for p in chosen["parts"])
    words = f"{names} of {place.stack.name} in {place.env.name} will be what they were at {chosen['at']}"
    if not sys.stdin.isatty() or os.environ.get("CI"):
        raise BadInput("a restore replaces data, and nobody agreed", seen=words, todo="give --yes")
    report.say(f"{words}.")
    report.say(f"Release {live} is stopped meanwhile." if live else "No release is live.")
    print(f"Type {place.env.name} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != place.env.name:
        raise BadInput("a restore replaces data, and nobody agreed", seen=words, todo="type the environment's name")


def beside(
    place: Workplace | Place,
    session: Conversation,
    chosen: Mapping[str, Any],
    wanted: Wanted,
    targets: Mapping[str, Any],
) -> Restored:
    """Restore beside what is there. No lease, no safety snapshot: nothing that serves is touched."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", wanted.into):
        raise BadInput(f"--into {wanted.into} is no name", todo="use lower-case letters, digits and _, 31 at most")
    params = {
        "snapshot": chosen["set"]["id"],
        "only": list(wanted.only),
        "targets": dict(targets),
        "name": wanted.into,
        "by": by(),
        "command": command(),
    }
    began = time.monotonic()
    with report.step(f"Restore beside, as {wanted.into}") as step:
        try:
            operation = Operation("restore.beside", "begin", params)
            told = session.perform(place.stack.name, [operation], progress=step.say)[0]
        except HostError as error:
            raise backup.failure(place, error) from error
    took = round(time.monotonic() - began, 2)
    return Restored(place.env.name, place.stack.name, chosen["set"], took, into=wanted.into, done=told["done"])


def _carry_out(run: Run, plan: Plan, chosen: Mapping[str, Any]) -> Restored:
    place = run.hosts.place
    began = time.monotonic()
    entry: dict[str, Any] = {
        "verb": "restore",
        "by": by(),
        "run": run.fence,
        "set": chosen["set"]["id"],
        "outcome": "interrupted",
    }
    result = Restored(place.env.name, place.stack.name, chosen["set"])
    try:
        results = execute(plan, run.hosts.sessions, run.fence, receiving=run.receiving)
        first = place.env.hosts[0].name
        result.words = results[restore_plan.LOAD][first][0]["words"]
        result.done = results[restore_plan.PUT][first][0]["done"]
        if restore_plan.SAVE in results and (saved := results[restore_plan.SAVE][first][0]["set"]):
            result.safety = saved["id"]
        verify(place, plan.release, chosen)
        entry["outcome"] = "done"
    except SlipwayError as error:
        told = backup.failure(place, error) if isinstance(error, HostError) else error
        entry |= {"outcome": f"failed: {told.what}", "exit_code": told.exit_code}
        raise told from error
    finally:
        result.seconds = round(time.monotonic() - began, 2)
        entry |= {"seconds": result.seconds, "safety": result.safety}
        run.on_every_host(Operation("restore.end", "write the ledger", {"entry": entry}))
    return result


def verify(place: Workplace, release: str | None, chosen: Mapping[str, Any] | None = None) -> None:
    """Have the suite of restores look at the hosts.

    Args:
        place: the environment and stack.
        release: the one that serves, if any.
        chosen: the backup that was restored (default: what the newest one says that there should be).

    Raises:
        SlipwayError: something is not as it should be.
    """
    from slipway.host import verify as suites

    if chosen is None:
        with backup.on_host(place) as session:
            params = {"snapshot": "latest", "only": []}
            chosen = session.perform(place.stack.name, [Operation("restore.look", "begin", params)])[0]
    keys = place.access
    facts = {
        "stack": place.stack.name,
        "release": release or "",
        "first": place.env.hosts[0].name,
        "set": chosen["set"]["id"],
        "kept": [k.model_dump() for k in place.stack.kept if k.service in {p["service"] for p in chosen["parts"]}],
        "tables": {p["service"]: p["tables"] for p in chosen["parts"]},
        "image": place.env.backup.image if place.env.backup else "",
        "targets": restore_plan.targets(place.stack),
    }
    found = suites.verify(place.env, "restore", facts, key_file=keys.key_file, known_hosts=keys.known_hosts)
    workplace.refuse_findings(place, "restore", found)


__all__ = ["Restored", "Wanted", "agree", "beside", "look", "restore", "verify"]
