"""`deploy` on hosts, as a story: settings, hosts, lease, images, plan, execution, proof."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.data import document, migrations
from slipway.errors import BadInput
from slipway.image import build as images
from slipway.image import exact, source
from slipway.image.registry import RegistryClient
from slipway.plan.operation import Operation
from slipway.plan.outcome import Outcome
from slipway.settings import load, secrets
from slipway.target.compose import planner, workplace
from slipway.target.compose.accessories import missing_accessories
from slipway.target.compose.changes import unchanged
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import ROUTER_IMAGE, Release, Request, make_release, meta
from slipway.target.compose.run import begun, carry_out, policy
from slipway.target.compose.workplace import Open, Workplace
from slipway.target.version import Version
from slipway.target.who import by


def deploy(place: Workplace, version: Version, *, plan_only: bool = False, cut: bool = False) -> Outcome:
    """Bring a version live, beside what serves, without losing a request.

    Args:
        place: the environment and stack.
        version: which.
        plan_only: make the plan and change nothing.
        cut: end open requests of old releases where too many drain.

    Returns:
        The outcome; `changed` is False where the live release is that version already.

    Raises:
        SlipwayError: see the exit codes in docs/deploy.md.
    """
    with workplace.opened(place, prepare=not plan_only, look=plan_only) as hosts:
        if plan_only:
            return _planned(hosts, version, cut)
        with begun(hosts, "deploy") as run:  # from here on nobody else changes what the plan is made from
            refuse_taken_door(request_for(run.hosts))
            refuse_what_comes_first(request_for(run.hosts))
            release, request = release_of(run.hosts, version, cut)
            live = live_release(request.facts)
            if unchanged(request, release, named=bool(version.name)):
                kept = {host: planner.keeping(request, host) for host in request.hosts}
                run.on_every_host(policy(place.env), more=kept)
                return Outcome("deploy", place.env.name, place.stack.name, str(live), live, False, place.url)
            serve_official_images(place)
            plan = planner.plan_deploy(request, release)
            return carry_out(run, plan, meta(request, release))


def _planned(hosts: Open, version: Version, cut: bool) -> Outcome:
    place = hosts.place
    refuse_taken_door(request_for(hosts))
    release, request = release_of(hosts, version, cut, dry=True)
    plan = planner.plan_deploy(request, release)
    changed = not unchanged(request, release, named=bool(version.name))
    return Outcome("deploy", place.env.name, place.stack.name, release.id, plan.before, changed, place.url, plan)


def release_of(hosts: Open, version: Version, cut: bool, dry: bool = False) -> tuple[Release, Request]:
    """Return the release that a version makes here, its images found or built and pushed, and the planner's request."""
    place = hosts.place
    name = version.name or source.tree_version(load.root(), place.env)
    assert place.env.registry  # noqa: S101 - validated
    client = RegistryClient(place.env.registry, place.registry_password)
    begun = time.monotonic()
    if version.images is not None:
        found = exact.exactly(place.stack, client, version.images)
    else:
        found = images.ensure(
            place.stack, client, name, build=version.build or version.name is None, rebuild=bool(version.build and version.name),
            overwrite=place.env.allow_dirty, password=place.registry_password, dry=dry, lab=place.lab,
        )  # fmt: skip
    if time.monotonic() - begun > 5:
        hosts = hosts.again()  # a build takes minutes: what was seen before it may not be so any more
    request = request_for(hosts, cut, own_tree=version.build or version.name is None)
    return make_release(request, name, {k: i.reference for k, i in found.items()}), request


def serve_official_images(place: Workplace) -> None:
    """See that a lab's registry has the official images that the stack's accessories and the router are; else nothing."""
    if place.lab:
        from slipway.lab import images as lab_images

        names = [ROUTER_IMAGE, *(str(s.image) for s in place.stack.services if s.image and not s.build)]
        backup = place.env.backup
        names += [backup.image] if backup and document.keeps(place.env, place.stack) else []
        lab_images.ensure_all(names)
        lab = place.lab
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(lambda name: lab_images.publish(name, lab), names))


def backup_document(place: Workplace) -> Operation | None:
    """Return the operation that tells the first host what to keep; None where nothing is kept, or no secret was read."""
    env, stack = place.env, place.stack
    if not document.keeps(env, stack) or not place.backup_secrets:
        return None
    root = load.root()
    files = {
        f"envs/{env.name}.yml": root / "envs" / f"{env.name}.yml",
        f"envs/{env.name}.vault.yml": secrets.vault_file(env),  # encrypted, as it is
        "envs/known_hosts": root / "envs" / "known_hosts",
        f"compose/{stack.name}/compose.yaml": Path(stack.folder) / "compose.yaml",
    }
    configuration = {name: path.read_text() for name, path in files.items() if path.exists()}
    return document.operation(env, stack, place.backup_secrets, place.secrets, configuration)


def request_for(hosts: Open, cut: bool = False, *, own_tree: bool = False) -> Request:
    """Return what a planner needs to know. `own_tree`: the version is what this checkout holds."""
    place = hosts.place
    names, contracting = migrations.names(place.stack) if own_tree else ((), ())
    return Request(
        env=place.env,
        entry=place.entry,
        stack=place.stack,
        facts=hosts.facts,
        secrets=place.secrets,
        challenge=hosts.challenge,
        auth=place.auth,
        by=by(),
        migrations=names,
        contracting=contracting,
        cut=cut,
        backup=backup_document(place),
    )


def refuse_taken_door(request: Request) -> None:
    """Raise BadInput where another stack has this one's front door on a host: requests would go to either of them."""
    env, entry = request.env.name, request.entry
    for host in request.hosts:
        for other in request.facts[host].router["others"]:
            if (other["port"], other["domain"]) == (entry.port, entry.domain):
                raise BadInput(
                    f"the stack {other['stack']} has this front door on {host} (another environment's, or listed no more)",
                    where=f"envs/{env}.yml, stack {request.stack.name}",
                    seen=f"port {entry.port}, " + (f"domain {entry.domain}" if entry.domain else "any domain"),
                    serves=other["stack"],
                    todo=f"give {request.stack.name} a port or a domain of its own there",
                )


def refuse_what_comes_first(request: Request) -> None:
    """Raise BadInput where the release needs what a deploy never touches: an accessory that is not there."""
    env, live = request.env.name, live_release(request.facts)
    missing = missing_accessories(request)
    if missing:
        raise BadInput(
            f"the release needs {', '.join(missing)}, which {env} does not have yet",
            where=request.stack.name,
            serves=f"release {live}" if live else "nothing",
            todo=f"inv accessory.apply --env {env} --plan, then without --plan",
        )
