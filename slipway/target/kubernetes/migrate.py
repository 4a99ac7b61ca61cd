"""`migrate` on a cluster: ahead of a deploy, contracting, and what the database has had."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.agent.schema import CONTRACT, Migration, had
from slipway.data import migrations
from slipway.errors import BadInput, SlipwayError
from slipway.plan.executor import execute
from slipway.plan.operation import Phase, Plan
from slipway.plan.outcome import Outcome
from slipway.target import schema as shapes
from slipway.target.kubernetes import deploy as deploying
from slipway.target.kubernetes import ending, planner, records, schema
from slipway.target.kubernetes.data import before
from slipway.target.kubernetes.database import Database
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.request import Release
from slipway.target.kubernetes.session import ClusterSession
from slipway.target.kubernetes.workplace import Place, Run, begun, connected
from slipway.target.version import Version
from slipway.target.who import by


def expand(place: Place, version: Version, *, plan_only: bool = False) -> Outcome:
    """Run the migrations of a version that wait and expand; deploy nothing."""
    schema.refuse_without_database(place)
    if plan_only:
        with connected(place) as session:
            facts = session.facts()
            release = deploying.release_of(place, version, 0, dry=True)
            return _planned(place, planner.plan_migrate(deploying.request_for(place, facts, release), release))
    with begun(place, "migrate") as run:
        release = deploying.release_of(place, version, run.fence)
        return _carried_out(run, planner.plan_migrate(deploying.request_for(place, run.facts, release), release))


def contract(place: Place, *, plan_only: bool = False) -> Outcome:
    """Run the contracting migrations that the live release brings.

    Raises:
        BadInput: a release that runs, or that a rollback would go back to, needs what they take away.
    """
    migrations.required(place.stack)
    schema.refuse_without_database(place)
    if plan_only:
        with connected(place) as session:
            return _planned(place, _contract_plan(place, session, session.facts()))
    with begun(place, "migrate") as run:
        plan = _contract_plan(place, run.session, run.facts)
        return _carried_out(run, plan) if plan.phases else _planned(place, plan)


def _planned(place: Place, plan: Plan) -> Outcome:
    changed = bool(plan.phases)
    return Outcome("migrate", plan.env, plan.stack, plan.release, plan.before, changed, place.url, plan)


def _contract_plan(place: Place, session: ClusterSession, facts: Facts) -> Plan:
    """Return the plan of `contract`, without phases where nothing waits. Raises as it does."""
    stack, env, live = place.stack, place.env.name, facts.live()
    tree: list[Migration] = []
    with contextlib.suppress(BadInput):  # what this tree has only tells what is to come
        tree = migrations.read(stack)
    meta = facts.releases.get(live or "", {})
    known = (meta.get("schema") or {}).get("known") or []
    state = Database(session, migrations.how(stack)["database"]).state() if live else None
    waits = shapes.pending(stack, known, state) if live else []
    if not schema.releases(place, facts).contracting(waits, tree):
        return Plan("migrate", env, stack.name, str(live), live, (), ())
    assert live  # noqa: S101 - it was refused
    release = Release(live, str(meta["version"]), meta["images"], records.manifests_of(facts, live) or [], meta)
    changes = shapes.shown(stack, waits, CONTRACT, _sql(place, waits, tree), env)
    operation = before.backed_up(place, facts, schema.contract_operation(place, release, facts))
    assert operation  # noqa: S101 - it was given
    phase = Phase("Migrate", {place.context: (operation,)})
    return Plan("migrate", env, stack.name, live, live, changes, (phase,))


def _sql(place: Place, waits: Sequence[Migration], tree: Sequence[Migration]) -> dict[str, str]:
    """Return the SQL of waiting migrations by id, where this tree has the same file."""
    sums = {m["id"]: m["checksum"] for m in waits}
    here = [m for m in tree if sums.get(m["id"]) == m["checksum"]]
    found = migrations.sql(migrations.how(place.stack)["tool"], migrations.folder(place.stack), here)
    return {m["id"]: found.get(m["id"], "-- unknown: it is in the image") for m in waits}


def _carried_out(run: Run, plan: Plan) -> Outcome:
    """Execute a plan, and note in the ledger what it ran. Raises as `execute`."""
    place = run.place
    entry: dict[str, Any] = {
        "verb": "migrate", "release": plan.release, "by": by(), "run": run.fence, "outcome": "interrupted",
    }  # fmt: skip
    ran: list[str] = []
    try:
        results = execute(plan, {place.context: run.session}, run.fence, receiving=run.session.receiving)
        ran = list(results["Migrate"][place.context][-1]["ran"])
        entry |= {"outcome": "done", "migrations": ran}
    except SlipwayError as error:
        entry["outcome"] = f"failed: {error.what}"
        raise
    finally:
        if ran or entry["outcome"] != "done":
            ending.add(run.session, entry)
    return Outcome("migrate", plan.env, plan.stack, plan.release, plan.before, bool(ran), place.url)


def status(place: Place, session: ClusterSession) -> dict[str, Any]:
    """Return what the database has had and which of this tree's migrations wait; the same document as of hosts."""
    settings = migrations.required(place.stack)
    facts, tree, why = session.facts(), migrations.read(place.stack), ""
    try:
        state = Database(session, str(settings.database)).state()
    except SlipwayError as error:
        state, why = {"rows": [], "alembic": None}, f"{error.what} {error.seen}".strip()
    applied = had(settings.kind, tree, state)
    rows = {row["id"]: row for row in state["rows"]}
    mine = {m["id"] for m in tree}
    found = schema.releases(place, facts)
    listed = [_one(m, m["id"] in applied, rows.get(m["id"]), settings.kind, found) for m in tree]
    listed += [
        {**_told(row), "id": i, "file": None, "kind": row["kind"], "state": "not in this tree"}
        for i, row in rows.items() if i not in mine
    ]  # fmt: skip
    return {
        "env": place.env.name, "stack": place.stack.name, "kind": settings.kind, "live": facts.live(), "revision": state["alembic"],
        "database": why or "answers", "migrations": listed,
        "well": not why and not any(m["state"] == "edited" for m in listed),
    }  # fmt: skip


def _one(
    migration: Migration, applied: bool, row: Mapping[str, Any] | None, tool: str, releases: shapes.Releases
) -> dict[str, Any]:
    edited = tool == "sql" and row is not None and row["checksum"] != migration["checksum"]
    state = "edited" if edited else "applied" if applied else "waits"
    needed = {} if applied or migration["kind"] != CONTRACT else releases.needed_by([migration["id"]])
    told = {**_told(row), "needed_by": sorted(needed)}
    return {**told, "id": migration["id"], "file": migration["file"], "kind": migration["kind"], "state": state}


def _told(row: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"at": row["at"] if row else None, "release": row["release"] if row else None, "needed_by": []}
