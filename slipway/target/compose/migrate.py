"""`migrate` on hosts: ahead of a deploy, contracting, and what the database has had."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.agent.schema import CONTRACT, Migration, had
from slipway.data import migrations
from slipway.errors import BadInput, SlipwayError
from slipway.plan.executor import execute
from slipway.plan.operation import Operation, Plan
from slipway.plan.outcome import Outcome
from slipway.target import schema as shapes
from slipway.target.compose import deploy as deploying
from slipway.target.compose import look, planner, schema, workplace
from slipway.target.compose.facts import live_release
from slipway.target.compose.proof import proof
from slipway.target.compose.request import Release, Request
from slipway.target.compose.run import Run, begun
from slipway.target.compose.workplace import Open, Workplace
from slipway.target.version import Version


def expand(place: Workplace, version: str | None, *, plan_only: bool) -> Outcome:
    """Run the waiting migrations of a version against the environment's database, without deploying it.

    Only those that expand, where a release serves; see `schema.which`.
    """
    with workplace.opened(place, prepare=False, look=plan_only) as hosts:
        if plan_only:
            release, request = deploying.release_of(hosts, Version(version), cut=False, dry=True)
            plan = planner.plan_migrate(request, release, _changes(hosts, request, release, version))
            changed = bool(plan.changes) or request.stack.migrate.kind == "command"  # type: ignore[union-attr]  # it has some
            return Outcome(
                "migrate", place.env.name, place.stack.name, release.id, plan.before, changed, place.url, plan
            )
        with begun(hosts, "migrate") as run:
            release, request = deploying.release_of(run.hosts, Version(version), cut=False)
            return _carried_out(run, planner.plan_migrate(request, release), request)


def contract(place: Workplace, *, plan_only: bool) -> Outcome:
    """Run the contracting migrations that the live release brings.

    Raises:
        BadInput: a release that runs needs what they take away.
    """
    migrations.required(place.stack)
    with workplace.opened(place, prepare=False, look=plan_only) as hosts:
        if plan_only:
            plan = _contract_plan(hosts)
            done = Outcome(
                "migrate", place.env.name, place.stack.name, plan.release, plan.before, bool(plan.phases), place.url
            )
            done.plan = plan
            return done
        with begun(hosts, "migrate") as run:
            plan = _contract_plan(run.hosts)
            if not plan.phases:
                return Outcome("migrate", place.env.name, place.stack.name, plan.release, plan.before, False, place.url)
            return _carried_out(run, plan, deploying.request_for(run.hosts))


def _carried_out(run: Run, plan: Plan, request: Request) -> Outcome:
    place = run.hosts.place
    entry = {"verb": "migrate", "release": plan.release, "by": request.by, "run": run.fence, "outcome": "interrupted"}
    ran: Sequence[str] = ()
    try:
        results = execute(plan, run.hosts.sessions, run.fence, receiving=run.receiving)
        ran = results["Migrate"][request.first][-1]["ran"]
        entry |= {"outcome": "done", "migrations": ran}
        if plan.before:
            proof(place, plan.before, dict(request.facts[request.first].releases[plan.before]), "migrate")
    except Exception as error:
        entry["outcome"] = f"failed: {error}".splitlines()[0]
        raise
    finally:
        if ran or entry["outcome"] != "done":  # a release that never was deployed has no place in the list of releases
            run.on_every_host(Operation("ledger.add", "write the ledger", {"entry": entry}))
    return Outcome("migrate", plan.env, plan.stack, plan.release, plan.before, bool(ran), place.url)


def _asked(hosts: Open, release: str | None) -> dict[str, Any]:
    """Return what the first host's database says (None where there is none yet), and the migrations of a release kept there.

    Raises:
        SlipwayError: a release serves, and its database does not answer.
    """
    place = hosts.place
    name = place.env.hosts[0].name
    told = hosts.sessions[name].perform(place.stack.name, [schema.look(place.stack, release)])[0]
    if told["state"] is None and live_release(hosts.facts):
        raise SlipwayError(told["why"], where=name)
    return told


def _changes(hosts: Open, request: Request, release: Release, version: str | None) -> tuple[Any, ...]:
    """Return what `migrate` would run, with its SQL."""
    stack = request.stack
    if not stack.migrate or stack.migrate.kind == "command":
        return ()
    kept = release.id in request.facts[request.first].releases
    told = _asked(hosts, release.id if version and kept else None)
    known = told["known"] if version else migrations.read(stack)
    waits = shapes.pending(stack, known, told["state"])
    return shapes.shown(stack, waits, schema.which(request), _sql(request, waits, version), request.env.name)


def _sql(request: Request, waits: Sequence[Migration], version: str | None = None) -> Mapping[str, str]:
    """Return the SQL of waiting migrations by id, where it is known without their image."""
    stack = request.stack
    assert stack.migrate  # noqa: S101 - the caller looked
    where = migrations.folder(stack)
    here = [m for m in waits if "sql" in m or (not version and (where / m["file"]).exists())]
    found = migrations.sql(stack.migrate.kind, where, here)
    return {m["id"]: found.get(m["id"], "-- unknown: it is in the image") for m in waits}


def _contract_plan(hosts: Open) -> Plan:
    request = deploying.request_for(hosts)
    live = live_release(request.facts)
    told = _asked(hosts, live)
    waits = shapes.pending(request.stack, told["known"], told["state"]) if live else []
    tree: list[Migration] = []
    with contextlib.suppress(BadInput):  # what this tree has only tells what is to come
        tree = migrations.read(request.stack)
    return schema.plan_contract(request, waits, tree, _sql(request, waits))


def status(place: Workplace) -> dict[str, Any]:
    """Return what the database has had, what waits, and which releases keep contracting migrations from being run."""
    settings = migrations.required(place.stack)
    tree = migrations.read(place.stack)
    with look.first(place) as session:
        facts = look.facts(place, session)
        told = session.perform(place.stack.name, [schema.look(place.stack, None)])[0]
    state = told["state"] or {"rows": [], "alembic": None}
    request = deploying.request_for(Open(place, {}, {}, {facts.host: facts}))
    applied = had(settings.kind, tree, state)
    rows = {row["id"]: row for row in state["rows"]}
    listed = [_one(m, m["id"] in applied, rows.get(m["id"]), settings.kind, request) for m in tree]
    mine = {m["id"] for m in tree}
    listed += [
        {"id": i, "file": None, "kind": row["kind"], "state": "not in this tree", "at": row["at"],
         "release": row["release"], "needed_by": []}
        for i, row in rows.items() if i not in mine
    ]  # fmt: skip
    return {
        "env": place.env.name, "stack": place.stack.name, "kind": settings.kind, "live": facts.live(),
        "revision": state["alembic"], "database": told["why"] or "answers", "migrations": listed,
        "well": bool(told["state"]) and not any(m["state"] == "edited" for m in listed),
    }  # fmt: skip


def _one(
    migration: Migration, applied: bool, row: Mapping[str, Any] | None, tool: str, request: Request
) -> dict[str, Any]:
    edited = tool == "sql" and row is not None and row["checksum"] != migration["checksum"]
    needed = {} if applied or migration["kind"] != CONTRACT else schema.releases(request).needed_by([migration["id"]])
    return {
        "id": migration["id"], "file": migration["file"], "kind": migration["kind"],
        "state": "edited" if edited else "applied" if applied else "waits",
        "at": row["at"] if row else None, "release": row["release"] if row else None, "needed_by": sorted(needed),
    }  # fmt: skip
