"""Applying one manifest, and telling in words why the API server does not take it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slipway.errors import BadInput, SlipwayError
from slipway.target.kubernetes.cluster import MANAGER, Cluster
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.transport import ApiError

STARTER = "slipway-start"
"""The field manager of the number of pods that a scaled Deployment begins with."""


def applied(cluster: Cluster, manifest: Manifest, *, dry: bool = False) -> dict[str, Any]:
    """Apply one manifest; tell a refusal in words.

    Raises:
        BadInput: others own a field of it, a field can't be changed or does not exist, a quota is used up.
    """
    try:
        return cluster.apply(manifest, dry=dry)
    except ApiError as error:
        if error.code == 409 and _causes(error) and all(map(_of_scaler, _causes(error))):
            return cluster.apply(manifest, dry=dry, force=True)  # a scaler had decided that, and is no more
        raise refusal(manifest, error) from error


def _of_scaler(cause: Mapping[str, Any]) -> bool:
    """Tell whether a conflict is about how many pods there are, with what scales them, or our own beginning of it."""
    words = str(cause.get("message", ""))
    return cause.get("field") == ".spec.replicas" and any(
        f'"{m}"' in words for m in ("kube-controller-manager", STARTER)
    )


def _causes(error: ApiError) -> list[dict[str, Any]]:
    return list((error.status.get("details") or {}).get("causes") or [])


def refusal(manifest: Manifest, error: ApiError) -> SlipwayError:
    """Return what the API server has against a manifest, as people understand it."""
    name = f"{manifest['kind'].lower()} {manifest['metadata']['name']}"
    causes = _causes(error)
    if error.code == 409 and causes:
        seen = "; ".join(f"{c.get('field', '?')}: {c.get('message', '')}" for c in causes)
        force = f"kubectl apply --server-side --field-manager={MANAGER} --force-conflicts"
        todo = f"leave these fields out of the manifests, or have {MANAGER} take them: {force}"
        return BadInput(f"{name} has fields that somebody else manages", where=name, seen=seen, todo=todo)
    if error.code == 403 and "exceeded quota" in error.seen:
        return BadInput(
            f"there is no room for {name}", where=name, seen=error.seen, todo="raise the quota, or ask for less"
        )
    if error.code == 403 and "being terminated" in error.seen:
        return BadInput(
            "the namespace is being removed", where=name, seen=error.seen, todo="wait until it is gone, deploy again"
        )
    if error.code == 422 and "immutable" in error.seen:
        todo = (
            "remove the object by hand where that does no harm, then deploy again; or give the changed one another name"
        )
        return BadInput(f"{name} can't be changed that way", where=name, seen=error.seen, todo=todo)
    if error.code in (400, 403, 404, 422) or "typed patch object" in error.seen:
        return BadInput(f"the cluster does not take {name}", where=name, seen=error.seen, todo="correct the manifest")
    return error


def dry_run(cluster: Cluster, manifests: Sequence[Manifest]) -> list[dict[str, Any] | BadInput]:
    """Return what the API server would make of each manifest, or what it has against it; nothing is changed."""

    def one(manifest: Manifest) -> dict[str, Any] | BadInput:
        try:
            return applied(cluster, manifest, dry=True)
        except BadInput as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, manifests))
