"""The verbs on a cluster, each as one function that a task calls (see `slipway.target.Target`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from slipway import report
from slipway.errors import BadInput, NeedsPerson, SlipwayError
from slipway.image import build as images
from slipway.image.registry import RegistryClient
from slipway.image.source import tree_version
from slipway.plan.operation import Operation
from slipway.plan.outcome import Outcome
from slipway.settings import load, secrets
from slipway.target.kubernetes import deploy as deploying
from slipway.target.kubernetes import diff, ending, lease, look, workplace
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes import migrate as migrating
from slipway.target.kubernetes import verify as suites
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.version import Version
from slipway.target.who import by


def _not_here(verb: str, env: str, why: str, todo: str) -> BadInput:
    return BadInput(f"{verb} {why}", where=f"envs/{env}.yml, target: kubernetes", todo=todo)


def deploy(
    env: str,
    stack: str | None,
    version: str | None,
    *,
    build: bool,
    plan_only: bool,
    cut: bool,
    yes: bool,  # noqa: ARG001 - no engine is needed here
    images: Mapping[str, str] | None = None,
) -> Outcome:
    """Deploy a version (see `slipway.target.kubernetes.deploy.deploy`)."""
    if cut:
        todo = "leave it out: a pod that ends has its own grace period"
        raise _not_here(
            "deploy --cut", env, "has no meaning on a cluster, where no deploy waits for old releases", todo
        )
    if images is not None and (build or not version):
        raise BadInput("--images are those of a version that was built before", todo="name it: --version NAME")
    if build and not version:
        raise BadInput(
            "--build needs a name", todo="inv deploy --build --version NAME; without both the tree's revision is built"
        )
    return deploying.deploy(workplace.find(env, stack), Version(version, build, images), plan_only=plan_only)


def rollback(env: str, stack: str | None, to: str | None, *, plan_only: bool, yes: bool) -> Outcome:  # noqa: ARG001
    """Go back to an earlier verified release. Raises BadInput where there is none."""
    return deploying.rollback(workplace.find(env, stack), to, plan_only=plan_only)


def migrate(
    env: str,
    stack: str | None,
    version: str | None,
    *,
    contract: bool,
    plan_only: bool,
    yes: bool,  # noqa: ARG001 - no engine is needed here
) -> Outcome:
    """Run waiting migrations without a deploy: those that expand, of a version; or those that contract, of the live release."""
    if contract and version:
        raise BadInput("--contract runs what the live release brings, of no other version", todo="leave --version out")
    place = workplace.find(env, stack)
    if not place.stack.migrate:
        raise BadInput(f"stack {place.stack.name} has no migrations", where=f"compose/{place.stack.name}/compose.yaml")
    if contract:
        return migrating.contract(place, plan_only=plan_only)
    return migrating.expand(place, Version(version), plan_only=plan_only)


def migrate_status(env: str, stack: str | None) -> dict[str, Any]:
    """Return what the database has had and what waits (see `slipway.target.kubernetes.migrate.status`)."""
    place = workplace.find(env, stack, with_secrets=False)
    with workplace.connected(place) as session:
        return migrating.status(place, session)


def build(env: str, stack: str | None, version: str | None, *, yes: bool) -> Iterator[str]:
    """Build a stack's images on this machine's engine. Yields a line for each."""
    from slipway.lab import engine

    engine.ensure(yes)
    settings, _, found = load.load(env, stack)
    name = version or tree_version(load.root(), settings)
    for service in images.built_services(found):
        tag = f"{found.name}/{service.name}:{name}"
        images.build_locally(found, service, tag)
        yield f"{service.name}  {tag}"


def push(env: str, stack: str | None, version: str | None, *, yes: bool) -> tuple[str, dict[str, images.Image]]:
    """Build and push what the registry lacks. Returns the version and its images by service."""
    from slipway.lab import engine

    engine.ensure(yes)
    settings, _, found = load.load(env, stack)
    assert settings.registry  # noqa: S101 - validated
    name, secret = version or tree_version(load.root(), settings), secrets.registry_password(settings)
    password = secret.reveal() if secret else None
    return name, images.ensure(
        found, RegistryClient(settings.registry, password), name, build=True, rebuild=bool(version),
        overwrite=settings.allow_dirty, password=password,
    )  # fmt: skip


def provision(env: str, stack: str | None, *, plan_only: bool, yes: bool) -> Iterator[str]:  # noqa: ARG001 - none is asked
    """Refuse: nodes are the cluster's own."""
    todo = f"whoever runs the cluster provisions its nodes; inv deploy --env {env} makes the namespace and all in it"
    raise _not_here("provision", env, "has no meaning on a cluster", todo)


def verify(env: str, stack: str | None, step: str | None) -> None:
    """Run the suite of deploys on the cluster by hand. Raises SlipwayError where it finds anything."""
    if step not in (None, "deploy", "rollback"):
        raise _not_here(f"verify --step {step}", env, "does not work on a cluster", "use deploy")
    place = workplace.find(env, stack, with_secrets=False)
    verifier = suites.Verifier("deploy")
    try:
        with workplace.connected(place) as session:
            facts = session.facts()
            live = facts.live()
            if live is None:
                raise BadInput("nothing is deployed, so there is nothing to verify", todo=f"inv deploy --env {env}")
            meta = facts.releases[live]
            told = suites.facts_of(place, session.cluster, live, meta)
            verifier.finish({**told, "pods": suites.pods_of(facts, live, meta)})
    finally:
        verifier.close()


def accessory_apply(env: str, stack: str | None, *, plan_only: bool, yes: bool) -> Iterator[str]:  # noqa: ARG001
    """Make the accessories what the manifests say. Yields what would be or was done."""
    place = workplace.find(env, stack)
    values = place.values()
    made, digest = making.accessory_manifests(place.overlay, values), making.accessory_digest(place.overlay, values)
    if plan_only:
        with workplace.connected(place) as session:
            told = diff.changes(session.cluster, session.facts(), made, place.where_is)
            yield from [f"{c.what} {c.text}" for c in told] or ["the accessories are what the manifests say"]
        return
    with workplace.begun(place, "accessory.apply") as run:
        if (run.facts.state.get("accessories") or {}).get("digest") == digest and not diff.changes(
            run.session.cluster, run.facts, made, place.where_is
        ):
            yield "the accessories are what the manifests say"
            return
        diff.changes(run.session.cluster, run.facts, made, place.where_is)  # refused before anything is touched
        began = time.monotonic()
        entry: dict[str, Any] = {"verb": "accessory.apply", "by": by(), "run": run.fence, "outcome": "interrupted"}
        report.current().touched = True
        try:
            with report.step("Apply the accessories") as step:
                operation = Operation("accessories", "apply them", {"manifests": made, "digest": digest})
                run.session.perform(place.stack.name, [operation], progress=step.say)
            entry["outcome"] = "done"
        except SlipwayError as error:  # what keeps data has no second beside it
            entry["outcome"] = f"failed: {error.what}"
            raise NeedsPerson(
                f"{error.what}; what needs it may fail until that is mended",
                where=error.where, seen=error.seen, todo=error.todo,
            ) from error  # fmt: skip
        finally:
            entry |= {"seconds": round(time.monotonic() - began, 2)}
            ending.add(run.session, entry)
    yield f"applied in {time.monotonic() - began:.1f} s; what changed was away for less than that"


def lock_show(env: str, stack: str | None) -> str:
    """Return words for who has the lease, and whether deploys are frozen."""
    place = workplace.find(env, stack, with_secrets=False)
    with workplace.connected(place) as session:
        found = look.facts(session.cluster, place.namespace, place.stack.name).lease
    words = []
    if holder := lease.holder_of(found):
        words.append(f"held by {lease.tell(holder)} on {holder.get('machine')}")
    if frozen := lease.frozen_by(found):
        words.append(f"frozen by {lease.tell(frozen)}")
    return "\n".join(words) or "free"


def lock_freeze(env: str, stack: str | None, message: str | None) -> str:
    """Freeze deploys with a reason, or (None) end that. Raises LeaseHeld where somebody else froze them already."""
    place = workplace.find(env, stack, with_secrets=False)
    with workplace.connected(place) as session:
        _namespace(session.cluster, place)
        holder = {"by": by(), "message": message} if message else None
        before = lease.freeze(session.cluster, place.namespace, place.stack.name, holder)
    if message:
        return f"deploys of {place.stack.name} to {env} are frozen: {message}"
    return f"the freeze by {before['by']} is over" if before else "there was no freeze"


def _namespace(cluster: Cluster, place: workplace.Place) -> None:
    """See that there is a namespace for the Lease."""
    if cluster.find(f"/api/v1/namespaces/{place.namespace}") is None:
        cluster.apply(place.overlay.namespace)
