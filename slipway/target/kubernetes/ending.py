"""How a run on a cluster ends: what came of it is noted, and what nothing needs any more is removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway import report
from slipway.errors import SlipwayError
from slipway.plan.operation import Change, Operation, Plan
from slipway.target.kubernetes import look, planner, records
from slipway.target.kubernetes.data import schedule
from slipway.target.kubernetes.request import Release, Request
from slipway.target.kubernetes.session import ClusterSession, now
from slipway.target.kubernetes.workplace import Run


def stays(request: Request, release: Release, before: str | None) -> list[list[str]]:
    """Return what stays after a deploy: with blue-green, the predecessor goes on running for a rollback."""
    return planner.kept(request, release, before if request.beside and before != release.id else None)


def goes(request: Request, release: Release, plan: Plan) -> list[Change]:
    """Return what tidying up will remove, but for what is recorded of old releases."""
    strays = records.strays(request.facts, request.stack, stays(request, release, plan.before), None)
    return [Change("", kind.word, f"{name} is removed") for kind, name in strays]


def finish(run: Run, request: Request, release: Release, plan: Plan, entry: dict[str, Any]) -> None:
    """Note how a run ended: the release as verified, the ledger; and remove what nothing needs any more. Says what fails of it."""
    session, done = run.session, entry["outcome"] == "done"
    try:
        session.check()
        if done:
            meta = {**release.meta, "verified": True}
            if plan.verb == "deploy":
                meta |= {"activated_run": run.fence, "activated_at": now()}
            session.cluster.apply(
                records.release_record(session.stack, session.namespace, meta, release.manifests), force=True
            )
        add(session, entry)
        if done:
            tidy(run, request, release, plan)
            schedule.apply(session.cluster, run.place, run.look())
    except SlipwayError as error:
        report.say(
            f"! not all could be noted or tidied up, the next run does it: {error.what} ({' '.join(error.seen.split())})"
        )


def tidy(run: Run, request: Request, release: Release, plan: Plan) -> None:
    """Remove what the manifests no longer have."""
    params = {"keep": stays(request, release, plan.before), "live": release.id, "keep_releases": request.keep}
    with report.step("Tidy up") as step:
        told = run.session.perform(
            run.session.stack, [Operation("tidy", "remove what is no longer needed", params)], progress=step.say
        )
        removed = told[0]["removed"]
        step.done(f"{len(removed)} objects removed" if removed else "nothing to do")


def add(session: ClusterSession, entry: Mapping[str, Any]) -> None:
    """Add an entry to the ledger, with the time."""
    before = look.noted(session.cluster, session.namespace, records.ledger_name(session.stack)).ledger
    told = records.ledger_record(session.stack, session.namespace, [*before, {"at": now(), **entry}])
    session.cluster.apply(told, force=True)
