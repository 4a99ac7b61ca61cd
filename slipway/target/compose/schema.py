"""Migrations in plans: what runs when, which releases need the old shape, what can't be gone back to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from slipway.agent.schema import CONTRACT, EXPAND, Migration, blocked, due, objections, waiting
from slipway.data.migrations import how
from slipway.errors import BadInput
from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.settings.model import Stack
from slipway.target.compose.facts import HostFacts, live_release
from slipway.target.compose.request import Request

EVERYTHING = "all"


def which(request: Request) -> str:
    """Return what a deploy may run: where nothing serves yet, nothing needs an old shape, and all of it in its order."""
    return EXPAND if live_release(request.facts) else EVERYTHING


def migrate_phase(request: Request, release: str, kinds: str = "") -> Phase:
    """Return the phase that brings the database to the shape that a release expects; `kinds`: see `which`."""
    migrate = request.stack.migrate
    assert migrate  # noqa: S101 - the caller looked
    if migrate.kind == "command":
        params = {
            "release": release,
            "service": migrate.service,
            "pending": list(migrate.pending),
            "command": list(migrate.command),
        }
        return Phase("Migrate", {request.first: (Operation("release.migrate", "run waiting migrations", params),)})
    kinds = kinds or which(request)
    words = {EXPAND: "run waiting migrations that expand", CONTRACT: "run waiting migrations that contract"}
    wanted = {"release": release, "how": how(request.stack), "which": kinds}
    operation = Operation("schema.migrate", words.get(kinds, "run waiting migrations"), wanted)
    return Phase("Migrate", {request.first: (operation,)})


def look(stack: Stack, release: str | None) -> Operation:
    """Return the operation that asks the database for its version, and a release on the host for its migrations."""
    return Operation("schema.look", "ask the database for its version", {"release": release, "how": how(stack)})


def knows(meta: Mapping[str, Any]) -> set[str]:
    """Return the ids of the migrations that a release was made with. What it was made with, it can do without the old shape of."""
    return {m["id"] for m in meta.get("schema") or []}


def past(facts: HostFacts, release: str) -> list[str]:
    """Return the contracting migrations that the database has had and a release does not know: it needs the shape before."""
    contracted = (facts.raw.get("schema") or {}).get("contracted", [])
    return [m for m in contracted if m not in knows(facts.releases.get(release, {}))]


def needed_by(request: Request, wanted: Iterable[str]) -> dict[str, list[str]]:
    """Return which releases do not know which of these migrations: they need what those take away.

    Asked are those that run, or serve, and the one that a rollback would go back to, though it may have stopped long ago.
    """
    found: dict[str, list[str]] = {}
    for facts in request.facts.values():
        mine = (
            {r for r in facts.releases if facts.running(r)} | facts.receiving() | set(facts.rollback_candidates()[:1])
        )
        for release in sorted(mine):
            lacking = sorted(set(wanted) - knows(request.facts[request.first].releases.get(release, {})))
            if lacking:
                found[release] = lacking
    return found


def refuse_past(request: Request, release: str) -> None:
    """Raise BadInput where a release needs a shape that a contracting migration took away."""
    gone = past(request.facts[request.first], release)
    if gone:
        live = live_release(request.facts)
        raise BadInput(
            f"release {release} can't be gone back to: it needs the database as it was before {', '.join(gone)}",
            where=f"{request.stack.name} in {request.env.name}",
            seen="the database has had that contracting migration, and the release was made before there was one",
            serves=f"release {live}" if live else "nothing",
            todo=f"inv release.list --env {request.env.name} shows later ones; or mend it in a new version, and deploy that",
        )


def pending(stack: Stack, known: Sequence[Migration], state: Mapping[str, Any] | None) -> list[Migration]:
    """Return the migrations that a database has not had; `state` is None where there is no database yet.

    Raises:
        BadInput: these migrations do not go with the database.
    """
    tool = how(stack)["tool"]
    if state is None:
        return list(known)
    problems = objections(tool, known, state)
    if problems:
        refuse_files(stack, problems)
    return waiting(tool, known, state)


def refuse_files(stack: Stack, problems: Sequence[str]) -> None:
    """Raise BadInput with what is wrong with migrations."""
    shown = f"compose/{stack.name}/{stack.migrate.path if stack.migrate else ''}"
    raise BadInput("the migrations do not go with the database", where=shown, seen="\n".join(problems))


def shown(stack: Stack, waits: Sequence[Migration], kinds: str, sql: Mapping[str, str], env: str) -> tuple[Change, ...]:
    """Return the waiting migrations for people: those that would run with their SQL, the others with what they wait for."""
    behind = blocked(how(stack)["tool"], waits) if kinds == EXPAND else None
    if behind:
        refuse_files(
            stack, [f"{behind['file']}: stands behind one that contracts and has not been run: inv migrate --contract"]
        )
    now = {m["id"] for m in due(how(stack)["tool"], waits, kinds)}
    changes = []
    for migration in waits:
        text = f"{migration['file']} ({migration['kind']})"
        if migration["id"] in now:
            text += f"\n{sql[migration['id']]}"
        elif migration["kind"] == CONTRACT:
            text += f": left for inv migrate --contract --env {env}"
        changes.append(Change("", "migration", text))
    return tuple(changes)


def plan_contract(
    request: Request, waits: Sequence[Migration], tree: Sequence[Migration], sql: Mapping[str, str]
) -> Plan:
    """Return the plan that runs the contracting migrations which the live release brings; without phases if there are none.

    Args:
        request: settings and facts.
        waits: the live release's migrations that the database has not had.
        tree: this tree's migrations.
        sql: SQL of the waiting ones by id.

    Raises:
        BadInput: nothing serves; or a release that runs needs what they take away.
    """
    live = live_release(request.facts)
    env, where = request.env.name, f"{request.stack.name} in {request.env.name}"
    if live is None:
        raise BadInput(
            "nothing is deployed, so nothing is contracted", where=where, todo=f"inv deploy --env {env} runs all"
        )
    run = due(how(request.stack)["tool"], waits, CONTRACT)
    mine = knows(request.facts[request.first].releases.get(live, {}))
    ahead = [m["id"] for m in tree if m["kind"] == CONTRACT and m["id"] not in mine]
    contracts = [m["id"] for m in run if m["kind"] == CONTRACT]
    needed = needed_by(request, contracts or ahead)
    if needed:
        raise _needed(request, live, needed)
    if not run:
        return Plan("migrate", env, request.stack.name, live, live, (), ())
    tidy = Operation("stack.tidy", "remove what killed runs left", {"keep": live})
    phases = (Phase("Tidy up", {request.first: (tidy,)}), migrate_phase(request, live, CONTRACT))
    changes = shown(request.stack, waits, CONTRACT, sql, env)
    return Plan("migrate", env, request.stack.name, live, live, changes, phases)


def _needed(request: Request, live: str, needed: Mapping[str, Sequence[str]]) -> BadInput:
    names = sorted({name for of in needed.values() for name in of})
    runs = {r for facts in request.facts.values() for r in needed if facts.running(r)}
    stopped = "is what a rollback goes back to"
    words = [
        f"{r} {'serves' if r == live else 'still runs, for a rollback or for open requests' if r in runs else stopped}"
        for r in needed
    ]
    what = f"{', '.join(names)} would take away what a release needs that was made before there was one"
    if live in needed:
        todo = f"inv deploy --env {request.env.name} brings a version that knows it; then inv migrate --contract"
    else:
        todo = (
            f"inv deploy --env {request.env.name} once more: a rollback then goes back to a release that knows it,"
            " and the older ones stop"
        )
    serves = f"release {live}"
    return BadInput(
        what, where=f"{request.stack.name} in {request.env.name}", seen="; ".join(words), serves=serves, todo=todo
    )
