"""What kustomize rendered, read: apps and accessories of the stack; and what of it can't be released, refused. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipway.errors import BadInput
from slipway.settings.model import Stack
from slipway.settings.problems import listed
from slipway.target.kubernetes.kinds import KINDS, Manifest, in_order


@dataclass(frozen=True)
class Overlay:
    """What an overlay renders to.

    Args:
        namespace: the Namespace.
        apps: of services that each release replaces, and what belongs to no service.
        accessories: of services that keep data.
    """

    namespace: Manifest
    apps: tuple[Manifest, ...]
    accessories: tuple[Manifest, ...]

    @property
    def name(self) -> str:
        """The namespace's name."""
        return str(self.namespace["metadata"]["name"])


def read(documents: Sequence[Manifest], stack: Stack, env: str) -> Overlay:
    """Return what kustomize rendered as an overlay.

    Raises:
        BadInput: it is none that can be released: all its problems.
    """
    problems = list(_problems(documents, stack))
    if problems:
        where = f"k8s/{stack.name}/overlays/{env}"
        raise BadInput("the manifests can't be released", where=where, seen="\n".join(problems), todo="correct them")
    namespace = next(d for d in documents if d["kind"] == "Namespace")
    keep = {s.name for s in stack.of_role("accessory")}
    rest = [d for d in documents if d["kind"] != "Namespace"]
    data = [d for d in rest if owner(d, stack) in keep]
    return Overlay(namespace, tuple(in_order([d for d in rest if d not in data])), tuple(in_order(data)))


def owner(manifest: Manifest, stack: Stack) -> str | None:
    """Return the service that a manifest is of, by its name: `api`, `api-internal`; None where it is nobody's alone."""
    name = manifest["metadata"]["name"]
    mine = [s.name for s in stack.services if name == s.name or name.startswith(f"{s.name}-")]
    return max(mine, key=len, default=None)


def _problems(documents: Sequence[Manifest], stack: Stack) -> Iterator[str]:
    spaces = [d for d in documents if d["kind"] == "Namespace"]
    if len(spaces) != 1:
        yield f"there should be one Namespace, not {len(spaces)}"
        return
    space = spaces[0]["metadata"]["name"]
    services = {s.name: s for s in stack.services}
    for one in documents:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] != "Namespace" and one["kind"] not in KINDS:
            yield f"{name}: of this kind Slipway applies none; it knows {listed(KINDS)}"
        elif one["kind"] != "Namespace" and one["metadata"].get("namespace") != space:
            yield f"{name}: is not in the namespace {space} (kustomization.yaml: `namespace: {space}`)"
        if one["kind"] == "Secret":
            yield f"{name}: a secret in the repository: Slipway makes them from the vault"
        yield from (f"{name}: {words}" for words in _unhandled(one))
        if one["kind"] in ("Deployment", "StatefulSet"):
            found = services.get(one["metadata"]["name"])
            if found is None:
                yield f"{name}: the stack file has no service of that name"
            elif found.role == ("app" if one["kind"] == "StatefulSet" else "accessory"):
                yield f"{name}: an {found.role} is a {'Deployment' if found.role == 'app' else 'StatefulSet'}"
    there = {d["metadata"]["name"] for d in documents if d["kind"] in ("Deployment", "StatefulSet")}
    reached = {d["metadata"]["name"] for d in documents if d["kind"] == "Service"}
    for service in stack.services:
        if service.role == "app" and service.name not in there:
            yield f"there is no Deployment {service.name}, a service of the stack file"
        if service.role == "accessory" and service.name not in there | reached:
            yield f"there is neither a StatefulSet nor a Service {service.name}, an accessory of the stack file"
        if service.route and service.name not in reached:
            yield f"there is no Service {service.name}, which the stack file has a route for"


def _unhandled(manifest: Manifest) -> Iterator[str]:
    """Yield what would not get its image, settings or credentials."""
    if manifest["kind"] in ("Job", "CronJob"):
        yield "jobs do not run on a cluster yet: leave it out"
    if manifest["kind"] not in ("Deployment", "StatefulSet"):
        return
    pod = pod_of(manifest)
    if len(pod["containers"]) != 1:
        names = ", ".join(str(c["name"]) for c in pod["containers"])
        yield f"a pod has one container, not {len(pod['containers'])} ({names}): make the others services of their own"
    if pod.get("initContainers"):
        yield "initContainers are not started from a release's image yet: leave them out"
    if pod.get("imagePullSecrets"):
        yield "imagePullSecrets of its own: the environment's `registry` says how pods pull"


def pod_of(manifest: Manifest) -> Manifest:
    """Return what a Deployment's or StatefulSet's pods are to be."""
    pod: Manifest = manifest["spec"]["template"]["spec"]
    return pod
