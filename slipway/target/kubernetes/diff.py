"""What a deploy would change, as the API server itself tells it: each manifest is applied on trial. Secrets by name only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from slipway.errors import BadInput
from slipway.plan.operation import Change
from slipway.target.kubernetes.applying import dry_run
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.overlay import place

_NOT_OURS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


def changes(
    cluster: Cluster, facts: Facts, manifests: Sequence[Manifest], where_is: Callable[[Manifest], str] = lambda _: ""
) -> list[Change]:
    """Return the differences between what is and what would be.

    Args:
        cluster: where.
        facts: what there is.
        manifests: what is to be.
        where_is: tells `file:line` of a manifest, or "".

    Raises:
        BadInput: the API server does not take some of them: all are told.
    """
    if facts.namespace is None:
        return [Change("", "namespace", "is made, and all in it: " + ", ".join(_name(m) for m in manifests))]
    found = dry_run(cluster, manifests)
    refused = [(where_is(m), f) for m, f in zip(manifests, found, strict=True) if isinstance(f, BadInput)]
    if refused:
        raise _all(refused)
    return [c for m, f in zip(manifests, found, strict=True) if not isinstance(f, BadInput) for c in _one(facts, m, f)]


def _all(refused: Sequence[tuple[str, BadInput]]) -> BadInput:
    """Return one error for all that is refused, each with `file:line` where that is known."""
    at, first = refused[0]
    error = BadInput(first.what, where=at or first.where, seen=first.seen, todo=first.todo)
    if len(refused) > 1:
        seen = "\n".join(f"{at or r.where}: {r.what}: {' '.join(r.seen.split())}" for at, r in refused)
        error = BadInput(f"the cluster does not take {len(refused)} of the manifests", seen=seen, todo=first.todo)
    error.places = tuple(place(at, r.what) for at, r in refused if at)
    return error


def _name(manifest: Mapping[str, Any]) -> str:
    return f"{manifest['kind'].lower()} {manifest['metadata']['name']}"


def _one(facts: Facts, manifest: Manifest, result: Mapping[str, Any]) -> Iterator[Change]:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    now = facts.named(kind, name)
    if now is None:
        words = " with " + ", ".join(sorted(manifest.get("data", {}))) if kind in ("Secret", "ConfigMap") else ""
        yield Change("", kind.lower(), f"{name} runs" if kind == "Job" else f"{name} is made{words}")
        return
    if kind == "Secret":
        return  # its name is made of what it holds
    before, after = _shown(now), _shown(result)
    if before != after:
        lines = difflib.unified_diff(_text(before), _text(after), "live", "new", lineterm="", n=1)
        yield Change("", kind.lower(), "\n".join([name, *list(lines)[2:]]))


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in one["metadata"].items() if k not in _NOT_OURS}
    annotations = {
        k: v for k, v in metadata.get("annotations", {}).items() if not k.startswith("deployment.kubernetes.io/")
    }
    metadata.pop("annotations", None)
    rest = {k: v for k, v in one.items() if k not in ("metadata", "status", "apiVersion", "kind")}
    return {"metadata": {**metadata, **({"annotations": annotations} if annotations else {})}, **rest}


def _text(value: Mapping[str, Any]) -> list[str]:
    return yaml.safe_dump(dict(value), sort_keys=True, default_flow_style=False).splitlines()
