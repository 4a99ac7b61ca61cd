"""`deploy` and `rollback` on a cluster, as a story: manifests, lease, images, trial, plan, execution, proof."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slipway import report
from slipway.data import migrations
from slipway.errors import BadInput, SlipwayError
from slipway.image import build as images
from slipway.image import exact, source
from slipway.image.registry import RegistryClient
from slipway.plan.executor import execute
from slipway.plan.operation import Change, Plan
from slipway.plan.outcome import Outcome
from slipway.settings import load
from slipway.target.kubernetes import database, diff, ending, look, planner, records, schema, verify
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes.data import before, schedule
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.request import Release, Request
from slipway.target.kubernetes.session import ClusterSession, now
from slipway.target.kubernetes.workplace import Place, Run, begun, connected
from slipway.target.release import release_id
from slipway.target.version import Version
from slipway.target.who import by


def deploy(place: Place, version: Version, *, plan_only: bool = False) -> Outcome:
    """Bring a version live without losing a request.

    Args:
        place: environment and stack.
        version: which.
        plan_only: make the plan and change nothing.

    Raises:
        SlipwayError: see the exit codes in docs/deploy.md.
    """
    schema.refuse_without_database(place)
    schedule.refuse(place)
    if plan_only:
        with connected(place) as session:
            facts = session.facts()
            release = release_of(place, version, 0, dry=True)
            request = request_for(place, facts, release)
            plan = planner.plan_deploy(request, release, _changes(session, request, release))
            changed = not unchanged(facts, release, plan)
            if changed:
                plan = replace(plan, changes=(*plan.changes, *ending.goes(request, release, plan)))
            return Outcome(
                "deploy", place.env.name, place.stack.name, release.id, plan.before, changed, place.url, plan
            )  # fmt: skip
    with begun(place, "deploy") as run:
        database.ahead(run.session, place.stack, run.facts)
        release = release_of(place, version, run.fence)
        request = request_for(place, run.facts, release)
        tried = _changes(run.session, request, release)
        plan = planner.plan_deploy(request, release, tried)
        if unchanged(run.facts, release, plan):
            schedule.apply(run.session.cluster, place, run.facts)  # what is kept, and when, is no part of a release
            live = str(plan.before)
            return Outcome("deploy", place.env.name, place.stack.name, live, live, False, place.url)
        return carry_out(run, request, release, plan)


def release_of(place: Place, version: Version, fence: int, *, dry: bool = False) -> Release:
    """Return the release that a version makes here, its images found, or built and pushed."""
    name = version.name or source.tree_version(load.root(), place.env)
    assert place.env.registry  # noqa: S101 - validated
    client = RegistryClient(place.env.registry, place.registry_password)
    if version.images is not None:
        found = exact.exactly(place.stack, client, version.images)
    else:
        found = images.ensure(
            place.stack, client, name, build=version.build or version.name is None, rebuild=bool(version.build and version.name),
            overwrite=place.env.allow_dirty, password=place.registry_password, dry=dry,
        )  # fmt: skip
    references = {k: i.reference for k, i in found.items()}
    own_tree = version.build or not version.name
    return make_release(
        place,
        name,
        references,
        fence,
        own_tree=own_tree,
        digest=None if dry else _schema_digest(place, client, references),
    )


def _schema_digest(place: Place, client: RegistryClient, references: Mapping[str, str]) -> str | None:
    """Return the digest of the migrations in the image that brings them, as its label tells: the image need not be started."""
    migrate = place.stack.migrate
    if migrate is None or migrate.kind == "command" or not place.stack.service(migrate.service).build:
        return None
    digest = references[migrate.service].partition("@")[2]
    return client.labels(f"{place.stack.name}/{migrate.service}", digest).get("slipway.migrations")


def make_release(
    place: Place, version: str, references: Mapping[str, str], fence: int, *, own_tree: bool, digest: str | None = None
) -> Release:
    """Return the release that these images, settings and secrets make.

    Args:
        place: environment and stack.
        version: its name.
        references: images by service.
        fence: the run's number.
        own_tree: its images are made from this tree.
        digest: of the migrations in them: where this tree has the same, they are known.
    """
    values = place.values(references)
    made = making.app_manifests(place.overlay, values)
    used = {n: place.secrets[n] for s in place.stack.services if s.role != "accessory" for n in s.secrets}
    beside = _beside(place)
    content = {"manifests": made, "beside": beside}
    found = release_id(version, content, used, 40)
    same = digest is not None and digest == source.folder_digest(migrations.folder(place.stack))
    names = migrations.names(place.stack)[0] if own_tree or same else ()
    more = {"by": by(), "migrations": list(names), "verified": False, "activated_run": fence, "activated_at": now()}
    more |= {"schema_digest": digest} if digest else {}
    return Release(
        found, version, dict(references), making.released(made, found, version, place.stack, beside=beside),
        records.meta(place.stack, place.entry, found, version, references, **more),
    )  # fmt: skip


def _beside(place: Place) -> bool:
    return bool(place.env.kubernetes and place.env.kubernetes.strategy == "blue-green")


def request_for(place: Place, facts: Facts, release: Release, *, rollback: bool = False) -> Request:
    """Return what a planner needs to know."""
    return Request(
        cluster=place.context,
        facts=facts,
        values=place.values(release.images),
        overlay=None if rollback else place.overlay,
        beside=_beside(place),
        settle=place.env.settle,
        migrate=None if rollback else before.backed_up(place, facts, schema.operation(place, release, facts)),
        keep=place.env.keep_releases,
        where_is=place.where_is,
    )


def _changes(session: ClusterSession, request: Request, release: Release) -> list[Change]:
    """Try all manifests, and tell what would change. Raises BadInput where the API server does not take one."""
    facts = request.facts
    found = [m for m in making.with_secrets(release.manifests, request.values, "app") if not _passed_over(request, m)]
    if request.overlay and facts.state.get("accessories") is None:
        found += making.accessory_manifests(request.overlay, request.values)
    told = diff.changes(session.cluster, facts, found, request.where_is)
    noted = facts.state.get("accessories")
    if request.overlay and noted and noted["digest"] != making.accessory_digest(request.overlay, request.values):
        words = f"changed, and left alone: inv accessory.apply --env {request.values.env.name} applies it"
        told.append(Change("", "accessories", words))
    return told


def _passed_over(request: Request, manifest: Manifest) -> bool:
    """Tell whether a manifest is not tried: a Job, where none runs, or one that a killed run left is in the way."""
    there = request.facts.named("Job", manifest["metadata"]["name"]) is not None
    return manifest["kind"] == "Job" and (request.overlay is None or there)


def unchanged(facts: Facts, release: Release, plan: Plan) -> bool:
    """Tell whether the live release is this one already, verified and whole, and nothing in the cluster differs from it."""
    known = facts.releases.get(release.id, {})
    same = all(c.what == "accessories" for c in plan.changes)
    run = facts.state.get("run")
    ended = run is None or run.get("outcome") == "done"  # one that was killed has none
    return bool(plan.before == release.id and known.get("verified") and same and ended and facts.is_whole(release.id))


def rollback(place: Place, to: str | None, *, plan_only: bool = False) -> Outcome:
    """Go back to an earlier verified release. Raises BadInput where there is none."""
    if plan_only:
        with connected(place) as session:
            facts = session.facts()
            release = recorded(facts, place, to)
            request = request_for(place, facts, release, rollback=True)
            plan = planner.plan_rollback(request, release, _changes(session, request, release))
            return Outcome("rollback", place.env.name, place.stack.name, release.id, plan.before, True, place.url, plan)
    with begun(place, "rollback") as run:
        release = recorded(run.facts, place, to)
        request = request_for(place, run.facts, release, rollback=True)
        plan = planner.plan_rollback(request, release, _changes(run.session, request, release))
        return carry_out(run, request, release, plan)


def recorded(facts: Facts, place: Place, to: str | None) -> Release:
    """Return the release to go back to. Raises BadInput where there is none, or it is not kept."""
    env, live, candidates = place.env.name, facts.live(), facts.rollback_candidates()
    if to is None and not candidates:
        raise BadInput(
            "there is no earlier verified release to go back to", where=f"{place.stack.name} in {env}",
            serves=f"release {live}" if live else "nothing", todo=f"inv release.list --env {env} shows what there is",
        )  # fmt: skip
    wanted = to or candidates[0]
    meta, found = facts.releases.get(wanted), records.manifests_of(facts, wanted)
    if wanted == live:
        raise BadInput(f"release {wanted} is live already", where=f"{place.stack.name} in {env}")
    if meta is None or found is None or not meta.get("verified"):
        known = ", ".join(r for r, m in facts.releases.items() if m.get("verified") and r != live) or "none"
        what = f"release {wanted} " + ("was never verified" if meta else "is not kept")
        todo = f"name one of them, or inv deploy --env {env} --version NAME"
        raise BadInput(what, where=f"{place.stack.name} in {env}", seen=f"kept and verified: {known}", todo=todo)
    gone = sorted(
        making.mounted_keys(found) - {n for s in place.stack.services if s.role != "accessory" for n in s.secrets}
    )
    schema.releases(place, facts).refuse_past(wanted, schema.contracted(facts))
    if gone:
        raise BadInput(
            f"release {wanted} mounts secrets that the stack has no more", where=f"{place.stack.name} in {env}",
            seen=", ".join(gone), todo="put them back into the stack file and the vault, or name a later release",
        )  # fmt: skip
    return Release(wanted, str(meta["version"]), meta["images"], found, meta)


def carry_out(run: Run, request: Request, release: Release, plan: Plan) -> Outcome:
    """Execute a plan that changes the live release, note what came of it, tidy up. Raises as `execute`."""
    place, session = run.place, run.session
    first_step, began = len(report.current().steps), time.monotonic()
    entry: dict[str, Any] = {
        "verb": plan.verb, "release": plan.release, "before": plan.before, "by": by(), "run": run.fence,
        "images": dict(release.images), "version": release.version, "host": os.uname().nodename, "outcome": "interrupted",
    }  # fmt: skip
    verifier = verify.Verifier("rollback" if plan.verb == "rollback" else "deploy")  # its imports are made meanwhile
    try:
        facts = verify.facts_of(place, session.cluster, release.id, release.meta)

        def prove(_: str) -> None:
            verifier.finish(
                {
                    **facts,
                    "pods": verify.pods_of(look.traffic(session.cluster, session.namespace), release.id, release.meta),
                }
            )

        results = execute(plan, {place.context: session}, run.fence, prove, session.receiving)
        ran = results.get("Migrate", {}).get(place.context, [{}])[0]
        if "known" in ran and place.stack.migrate:
            image = release.images[place.stack.migrate.service]
            told = {"image": image, "digest": release.meta.get("schema_digest"), "known": ran["known"]}
            release = replace(release, meta={**release.meta, "schema": told})
        entry["outcome"] = "done"
    except SlipwayError as error:
        entry |= {"outcome": f"failed: {error.what}", "exit_code": error.exit_code}
        raise
    finally:
        verifier.close()
        steps = [(s.title, s.seconds) for s in report.current().steps[first_step:]]
        entry |= {"seconds": round(time.monotonic() - began, 2), "steps": {t: round(s, 2) for t, s in steps}}
        ending.finish(run, request, release, plan, entry)
    return Outcome(
        plan.verb, plan.env, plan.stack, plan.release, plan.before, True, place.url, plan, steps, dict(release.images)
    )
