"""Migrations in plans for hosts: what runs when, which releases need the old shape, what can't be gone back to. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.agent.schema import CONTRACT, EXPAND, Migration
from slipway.data.migrations import how
from slipway.plan.operation import Operation, Phase, Plan
from slipway.settings.model import Stack
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import Request
from slipway.target.schema import Releases, shown

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


def releases(request: Request) -> Releases:
    """Return the environment's releases as far as the database's shape goes, on all its hosts."""
    first = request.facts[request.first].releases
    runs = {r for facts in request.facts.values() for r in facts.releases if facts.running(r)}
    asked = {r for f in request.facts.values() for r in (*f.receiving(), *f.rollback_candidates()[:1])}
    known = {name: knows(meta) for name, meta in first.items()}
    return Releases(request.stack, request.env.name, live_release(request.facts), known, runs, runs | asked)


def refuse_past(request: Request, release: str) -> None:
    """Raise BadInput where a release needs a shape that a contracting migration took away."""
    contracted = (request.facts[request.first].raw.get("schema") or {}).get("contracted", [])
    releases(request).refuse_past(release, contracted)


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
    run = releases(request).contracting(waits, tree)
    live, env = live_release(request.facts), request.env.name
    assert live  # noqa: S101 - it was refused
    if not run:
        return Plan("migrate", env, request.stack.name, live, live, (), ())
    tidy = Operation("stack.tidy", "remove what killed runs left", {"keep": live})
    phases = (Phase("Tidy up", {request.first: (tidy,)}), migrate_phase(request, live, CONTRACT))
    changes = shown(request.stack, waits, CONTRACT, sql, env)
    return Plan("migrate", env, request.stack.name, live, live, changes, phases)
