"""What kustomize rendered, read: apps and accessories of the stack; and what of it can't be released, refused. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from slipway.errors import BadInput
from slipway.settings.model import Stack
from slipway.settings.problems import listed
from slipway.target.kubernetes.kinds import KINDS, Manifest, in_order

KIND_OF = {"app": "Deployment", "accessory": "StatefulSet", "job": "Job"}
"""What a service is on a cluster, by its role."""
WITH_PODS = tuple(KIND_OF.values())


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


def read(
    documents: Sequence[Manifest], stack: Stack, env: str, where_is: Callable[[Manifest], str] = lambda _: ""
) -> Overlay:
    """Return what kustomize rendered as an overlay.

    Args:
        documents: it.
        stack: whose.
        env: the environment.
        where_is: tells `file:line` of a manifest, or "".

    Raises:
        BadInput: it is none that can be released: all its problems.
    """
    problems = [(where_is(one) if one else "", words) for one, words in _problems(documents, stack)]
    if problems:
        seen = "\n".join(f"{at}: {words}" if at else words for at, words in problems)
        error = BadInput(
            "the manifests can't be released", where=f"k8s/{stack.name}/overlays/{env}", seen=seen, todo="correct them"
        )
        error.places = tuple(place(at, words) for at, words in problems if at)
        raise error
    namespace = next(d for d in documents if d["kind"] == "Namespace")
    keep = {s.name for s in stack.of_role("accessory")}
    rest = [d for d in documents if d["kind"] != "Namespace"]
    data = [d for d in rest if owner(d, stack) in keep]
    return Overlay(namespace, tuple(in_order([d for d in rest if d not in data])), tuple(in_order(data)))


def place(at: str, words: str) -> tuple[str, int, str]:
    """Return file, line and words of a problem at `file:line`."""
    file, _, line = at.rpartition(":")
    return file, int(line), words


def owner(manifest: Manifest, stack: Stack) -> str | None:
    """Return the service that a manifest is of, by its name: `api`, `api-internal`; None where it is nobody's alone."""
    name = manifest["metadata"]["name"]
    mine = [s.name for s in stack.services if name == s.name or name.startswith(f"{s.name}-")]
    return max(mine, key=len, default=None)


def _problems(documents: Sequence[Manifest], stack: Stack) -> Iterator[tuple[Manifest | None, str]]:
    """Yield what is wrong, each with the manifest that it is wrong with."""
    spaces = [d for d in documents if d["kind"] == "Namespace"]
    if len(spaces) != 1:
        yield spaces[-1] if spaces else None, f"there should be one Namespace, not {len(spaces)}"
        return
    space = spaces[0]["metadata"]["name"]
    for one in (d for d in documents if d["kind"] != "Namespace"):
        name = f"{one['kind']} {one['metadata']['name']}"
        yield from ((one, f"{name}: {words}") for words in _wrong(one, stack, space))
    there = {d["metadata"]["name"] for d in documents if d["kind"] in WITH_PODS}
    reached = {d["metadata"]["name"] for d in documents if d["kind"] == "Service"}
    for service in stack.services:
        if service.role != "accessory" and service.name not in there:
            yield None, f"there is no {KIND_OF[service.role]} {service.name}, a service of the stack file"
        if service.role == "accessory" and service.name not in there | reached:
            yield None, f"there is neither a StatefulSet nor a Service {service.name}, an accessory of the stack file"
        if service.route and service.name not in reached:
            yield None, f"there is no Service {service.name}, which the stack file has a route for"


def _wrong(one: Manifest, stack: Stack, space: str) -> Iterator[str]:
    """Yield what is wrong with one manifest."""
    kind, name = one["kind"], one["metadata"]["name"]
    if kind not in KINDS:
        yield f"of this kind Slipway applies none; it knows {listed(KINDS)}"
    elif one["metadata"].get("namespace") != space:
        yield f"is not in the namespace {space} (kustomization.yaml: `namespace: {space}`)"
    if kind == "Secret":
        yield "a secret in the repository: Slipway makes them from the vault"
    yield from _unhandled(one)
    if kind in WITH_PODS:
        found = next((s for s in stack.services if s.name == name), None)
        if found is None:
            yield "the stack file has no service of that name"
        elif kind != KIND_OF[found.role]:
            yield f"what has the role {found.role} in the stack file is a {KIND_OF[found.role]}"


def _unhandled(manifest: Manifest) -> Iterator[str]:
    """Yield what would not get its image, settings or credentials."""
    if manifest["kind"] == "CronJob":
        yield "Slipway starts nothing by the clock in a cluster: leave it out"
    if manifest["kind"] not in WITH_PODS:
        return
    pod = manifest["spec"].get("template", {}).get("spec", {})
    if not pod.get("containers"):
        yield "its pods have no container"
    elif len(pod["containers"]) != 1:
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
