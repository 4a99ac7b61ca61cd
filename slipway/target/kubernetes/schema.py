"""Migrations in plans for a cluster: what runs when, and which releases need the old shape. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.agent import schema
from slipway.data import migrations
from slipway.errors import BadInput
from slipway.plan.operation import Operation
from slipway.settings.model import Stack
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.manifests import RELEASE, ROLE, SERVICE
from slipway.target.kubernetes.request import Release
from slipway.target.kubernetes.workplace import Place
from slipway.target.schema import Releases


def operation(place: Place, release: Release, facts: Facts) -> Operation | None:
    """Return the operation that brings the database to what a release expects: what expands, or all, where nothing serves."""
    stack = place.stack
    if not stack.migrate:
        return None
    owner = _owner(stack, making.with_secrets(release.manifests, place.values(release.images), "app"))
    if stack.migrate.kind == "command":
        params: dict[str, Any] = {"release": release.id, "deployment": owner, "tool": "command"}
        params |= {"pending": list(stack.migrate.pending), "command": list(stack.migrate.command)}
        return Operation("migrate", "run waiting migrations", params)
    image = release.images[stack.migrate.service]
    known = _known(stack, release) or noted(facts, image, release.meta.get("schema_digest"))
    which = "all" if facts.first else schema.EXPAND
    return _operation(stack, facts, release, owner, which, known)


def contract_operation(place: Place, release: Release, facts: Facts) -> Operation:
    """Return the operation that runs what contracts of the live release's migrations, with the secrets that its pods have."""
    mounted = sorted(n for n in facts.mounted(release.id) if n.startswith(making.secret_name("app")))
    values = place.values(release.images)
    found = making.with_secrets(release.manifests, values, "app", mounted[0] if mounted else None)
    known = (release.meta.get("schema") or {}).get("known")
    return _operation(place.stack, facts, release, _owner(place.stack, found), schema.CONTRACT, known)


def _owner(stack: Stack, manifests: Sequence[Manifest]) -> Manifest:
    """Return the Deployment in whose image migrations run."""
    assert stack.migrate  # noqa: S101 - the caller looked
    name = stack.migrate.service
    return next(m for m in manifests if m["kind"] == "Deployment" and m["metadata"]["labels"][SERVICE] == name)


def _operation(
    stack: Stack, facts: Facts, release: Release, owner: Manifest, which: str, known: Sequence[schema.Migration] | None
) -> Operation:
    assert stack.migrate  # noqa: S101 - the caller looked
    words = {schema.EXPAND: " that expand", schema.CONTRACT: " that contract"}
    params = {
        "release": release.id, "deployment": owner, "tool": stack.migrate.kind, "how": migrations.how(stack),
        "which": which, "known": known, "contracted": contracted(facts),
    }  # fmt: skip
    return Operation("migrate", "run waiting migrations" + words.get(which, ""), params)


def contracted(facts: Facts) -> list[str]:
    """Return the contracting migrations that the database has had, as noted outside of it."""
    return list((facts.state.get("schema") or {}).get("contracted", []))


def releases(place: Place, facts: Facts) -> Releases:
    """Return the releases as far as the database's shape goes."""
    pods = (p["metadata"].get("labels", {}) for p in facts.pods)  # those that end, too: they have requests to answer
    there = (
        *(labels for labels in pods if labels.get(ROLE) == "app"),
        *(d["metadata"]["labels"] for d in facts.deployments()),
    )
    runs = {str(labels[RELEASE]) for labels in there if RELEASE in labels}
    asked = runs | facts.receiving() | set(facts.rollback_candidates()[:1])
    knows = {r: [m["id"] for m in (meta.get("schema") or {}).get("known") or []] for r, meta in facts.releases.items()}
    return Releases(place.stack, place.env.name, facts.live(), knows, runs, asked)


def refuse_without_database(place: Place) -> None:
    """Raise BadInput where migrations would be asked of a database that has no pod: somebody else's."""
    settings = place.stack.migrate
    if settings is None or settings.kind == "command":
        return
    pods = {m["metadata"]["name"] for m in place.overlay.accessories if m["kind"] == "StatefulSet"}
    if settings.database not in pods:
        raise BadInput(
            f"{settings.kind} migrations need the database in a pod here, and there is no StatefulSet {settings.database}",
            where=f"k8s/{place.stack.name}/overlays/{place.env.name}",
            todo=f"leave `migrate` out of compose/{place.stack.name}/compose.yaml and migrate by hand, or have it run by the"
            " stack's own tool (kind: command)",
        )  # fmt: skip


def _known(stack: Stack, release: Release) -> list[schema.Migration] | None:
    """Return a release's migrations where they are this tree's; None where its image has to be asked."""
    if not release.meta.get("migrations"):
        return None
    known = migrations.read(stack)
    return known if {m["file"].rpartition("/")[2] for m in known} == set(release.meta["migrations"]) else None


def noted(facts: Facts, image: str, digest: str | None = None) -> list[schema.Migration] | None:
    """Return the migrations of an image as a release before has noted them, without their SQL.

    Args:
        facts: what there is.
        image: the image.
        digest: of the migrations in it, as its label tells: another image may have the same.
    """
    notes = [m.get("schema") or {} for m in facts.releases.values()]
    same = (n["known"] for n in notes if n.get("image") == image or (digest and n.get("digest") == digest))
    found: list[schema.Migration] | None = next(same, None)
    return found
