"""The verbs on Compose hosts, each as one function that a task calls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args

from slipway.errors import BadInput, SlipwayError
from slipway.host.verify import Suite
from slipway.image import build as images
from slipway.image.registry import RegistryClient
from slipway.image.source import tree_version
from slipway.plan.executor import execute
from slipway.plan.operation import Operation
from slipway.plan.outcome import Outcome
from slipway.settings import load, secrets
from slipway.target.compose import accessories, lease, look, workplace
from slipway.target.compose import deploy as deploying
from slipway.target.compose import migrate as migrating
from slipway.target.compose import rollback as going_back
from slipway.target.compose.facts import live_release
from slipway.target.compose.proof import proof
from slipway.target.compose.run import begun, carry_out
from slipway.target.compose.session import HostError
from slipway.target.compose.workplace import Workplace
from slipway.target.version import Version
from slipway.target.who import by


def _find(env: str, stack: str | None, *, yes: bool = False, start: bool = True, secrets: bool = True) -> Workplace:
    place = workplace.find(env, stack, yes=yes, start=start, secrets=secrets)
    if place is None:
        raise BadInput(f"the lab of {env} is not up", where=f"envs/{env}.yml", todo=f"inv deploy --env {env} starts it")
    return place


def deploy(
    env: str,
    stack: str | None,
    version: str | None,
    *,
    build: bool,
    plan_only: bool,
    cut: bool,
    yes: bool,
    images: Mapping[str, str] | None = None,
) -> Outcome:
    """Deploy a version (see `slipway.target.compose.deploy.deploy`)."""
    if images is not None and (build or not version):
        raise BadInput("--images are those of a version that was built before", todo="name it: --version NAME")
    if build and not version:
        raise BadInput(
            "--build needs a name", todo="inv deploy --build --version NAME; without both the tree's revision is built"
        )
    settings, entry, found = load.load(env, stack)
    if settings.development and not plan_only:
        from slipway.target.compose import dev

        return dev.deploy(settings, entry, found, yes=yes)
    place = _find(env, stack, yes=yes, start=not plan_only)
    return deploying.deploy(place, Version(version, build, images), plan_only=plan_only, cut=cut)


def rollback(env: str, stack: str | None, to: str | None, *, plan_only: bool, yes: bool) -> Outcome:
    """Go back to an earlier verified release. Raises BadInput where there is none."""
    place = _find(env, stack, yes=yes, start=False)
    with workplace.opened(place, prepare=False, look=plan_only) as hosts:
        if plan_only:
            request = deploying.request_for(hosts)
            plan = going_back.plan_rollback(request, going_back.choose(request, to))
            return Outcome("rollback", env, place.stack.name, plan.release, plan.before, True, place.url, plan)
        with begun(hosts, "rollback") as run:
            request = deploying.request_for(run.hosts)
            plan = going_back.plan_rollback(request, going_back.choose(request, to))
            return carry_out(run, plan, dict(request.facts[request.first].releases[plan.release]))


def migrate(env: str, stack: str | None, version: str | None, *, contract: bool, plan_only: bool, yes: bool) -> Outcome:
    """Run waiting migrations without a deploy: those that expand, of a version; or those that contract, of the live release."""
    if contract and version:
        raise BadInput("--contract runs what the live release brings, of no other version", todo="leave --version out")
    place = _find(env, stack, yes=yes)
    if not place.stack.migrate:
        raise BadInput(f"stack {place.stack.name} has no migrations", where=f"compose/{place.stack.name}/compose.yaml")
    if contract:
        return migrating.contract(place, plan_only=plan_only)
    return migrating.expand(place, version, plan_only=plan_only)


def migrate_status(env: str, stack: str | None) -> dict[str, Any]:
    """Return what the database has had and what waits (see `slipway.target.compose.migrate.status`)."""
    return migrating.status(_find(env, stack, start=False, secrets=False))


def build(env: str, stack: str | None, version: str | None, *, yes: bool) -> Iterator[str]:
    """Build a stack's images on this machine's engine. Yields a line for each. Raises as `images.build`."""
    place = _find(env, stack, yes=yes, secrets=False)
    name = version or tree_version(load.root(), place.env)
    services = images.built_services(place.stack)
    if place.lab:
        images.ensure_bases(services)
    for service in services:
        tag = f"{place.stack.name}/{service.name}:{name}"
        images.build_locally(place.stack, service, tag)
        yield f"{service.name}  {tag}"


def push(env: str, stack: str | None, version: str | None, *, yes: bool) -> tuple[str, dict[str, images.Image]]:
    """Build and push what the registry lacks. Returns the version and its images by service. Raises as `images.ensure`.

    Of the secrets it needs the registry's password and no other.
    """
    place = _find(env, stack, yes=yes, secrets=False)
    assert place.env.registry  # noqa: S101 - validated
    name, secret = version or tree_version(load.root(), place.env), secrets.registry_password(place.env)
    password = secret.reveal() if secret else None
    return name, images.ensure(
        place.stack, RegistryClient(place.env.registry, password), name, build=True, rebuild=bool(version),
        overwrite=place.env.allow_dirty, password=password, lab=place.lab,
    )  # fmt: skip


def provision(env: str, stack: str | None, *, plan_only: bool, yes: bool) -> Iterator[str]:
    """Provision and verify the hosts; with `plan_only`, yield what would change."""
    from slipway.host import inventory
    from slipway.host import provision as provisioning

    place = _find(env, stack, yes=yes, start=not plan_only, secrets=False)
    if not plan_only:
        workplace.provision(place)
        return
    needed = inventory.needs(workplace.all_stacks(place))
    keys = place.access
    found = provisioning.preview(place.env, key_file=keys.key_file, known_hosts=keys.known_hosts, needed=needed)
    for change in found.changes:
        yield f"{change.host}  {change.task}"
        yield from (f"    {line}" for line in change.brief())
    if not found.changes:
        yield "nothing would change"


def verify(env: str, stack: str | None, step: str | None) -> None:
    """Run the Testinfra suites by hand: one step, or all that apply. Raises SlipwayError for the first that fails."""
    if step and step not in get_args(Suite):
        raise BadInput(f"there is no step {step}", todo=f"use one of {', '.join(get_args(Suite))}")
    place = _find(env, stack, start=False, secrets=False)
    with workplace.opened(place, prepare=False) as hosts:
        live = live_release(hosts.facts)
        meta = dict(hosts.facts[place.env.hosts[0].name].releases.get(live or "", {}))
    applying = [
        "provision",
        *(["deploy", "logs"] if live else []),
        *(["migrate"] if live and place.stack.migrate else []),
    ]
    kept = hosts.facts[place.env.hosts[0].name].raw.get("backup") or {}
    applying += ["backup"] if kept.get("last") else []
    for name in [step] if step else applying:
        if name in ("provision", "logs"):
            workplace.verify_hosts(place, cast(Suite, name))
        elif name == "backup":
            from slipway.data import backup

            backup.verify(backup.keeping(place))
        elif name == "restore":
            from slipway.data import backup, restore

            restore.verify(backup.keeping(place), live)
        elif live is None:
            raise BadInput("nothing is deployed, so there is nothing to verify", todo=f"inv deploy --env {env}")
        else:
            proof(place, live, meta, cast(Suite, name))


def accessory_apply(env: str, stack: str | None, *, plan_only: bool, yes: bool) -> Iterator[str]:
    """Make the accessories what the settings say. Yields what would be or was done, and for how long they were away."""
    place = _find(env, stack, yes=yes)
    with workplace.opened(place, prepare=not plan_only, look=plan_only) as hosts:
        if plan_only:
            plan = accessories.plan_accessories(deploying.request_for(hosts))
            yield from plan.lines() if plan.phases else ["the accessories are what the stack file says"]
            return
        with begun(hosts, "accessory.apply") as run:
            request = deploying.request_for(run.hosts)
            plan = accessories.plan_accessories(request)
            if not plan.phases:
                yield "the accessories are what the stack file says"
                return
            deploying.serve_official_images(place)
            began = time.monotonic()
            entry = {"verb": "accessory.apply", "by": request.by, "run": run.fence, "outcome": "interrupted"}
            try:
                execute(plan, hosts.sessions, run.fence, receiving=run.receiving)
                entry["outcome"] = "done"
            except SlipwayError as error:
                entry |= {"outcome": f"failed: {error.what}", "exit_code": error.exit_code}
                raise
            finally:
                took = time.monotonic() - began
                entry["seconds"] = round(took, 2)
                run.on_every_host(Operation("ledger.add", "write the ledger", {"entry": entry}))
        yield f"applied; what changed was away for at most {took:.1f} s"


def lock_show(env: str, stack: str | None) -> str:
    """Return words for who has the lease, and whether deploys are frozen."""
    place = _find(env, stack, start=False, secrets=False)
    with look.first(place) as session:
        facts = look.facts(place, session).raw
    words = []
    if facts["lease"]:
        words.append(f"held by {lease.tell(facts['lease'])} on {facts['lease'].get('machine')}")
    if facts["frozen"]:
        words.append(f"frozen by {lease.tell(facts['frozen'])}")
    return "\n".join(words) or "free"


def lock_freeze(env: str, stack: str | None, message: str | None) -> str:
    """Freeze deploys with a reason, or (None) end that. Returns words for what was done.

    Raises LeaseHeld where somebody else froze them already.
    """
    place = _find(env, stack, start=False, secrets=False)
    holder = {"by": by(), "message": message} if message else None
    with look.first(place) as session:
        freeze = Operation("lease.freeze", "freeze", {"holder": holder})
        try:
            before = session.perform(place.stack.name, [freeze])[0]["before"]
        except HostError as error:
            raise lease.refused(env, place.stack.name, error) from error
    if message:
        return f"deploys of {place.stack.name} to {env} are frozen: {message}"
    return f"the freeze by {before['by']} is over" if before else "there was no freeze"
