"""Looking at a stack's namespace: all that planners and `status` go by, asked side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import KINDS, LEASE, POD, SLICE, Kind
from slipway.target.kubernetes.lease import name
from slipway.target.kubernetes.manifests import STACK

_SECRET_KEYS = ("data", "stringData")


def facts(cluster: Cluster, namespace: str, stack: str) -> Facts:
    """Return what there is of a stack. Values of secrets are not kept.

    Raises:
        BadInput: the credentials are not accepted, or lack a right.
        SlipwayError: the API server does not answer.
    """
    found = cluster.find(f"/api/v1/namespaces/{namespace}")
    if found is None:
        return Facts()

    def listed(kind: Kind) -> list[dict[str, Any]]:
        if kind in (POD, SLICE):
            return cluster.items(kind, namespace)
        objects = cluster.items(kind, namespace, **{STACK: stack})
        return (
            [{k: v for k, v in o.items() if k not in _SECRET_KEYS} for o in objects]
            if kind.name == "Secret"
            else objects
        )

    kinds = [*(k for k in KINDS.values() if k.name not in ("ResourceQuota", "LimitRange")), POD, SLICE]
    with ThreadPoolExecutor(8) as pool:
        lease = pool.submit(cluster.find, LEASE.path(namespace, name(stack)))
        objects = dict(zip([k.name for k in kinds], pool.map(listed, kinds), strict=True))
        return Facts(found, objects, objects.pop("Pod"), objects.pop("EndpointSlice"), lease.result())


def noted(cluster: Cluster, namespace: str, name: str) -> Facts:
    """Return what one ConfigMap of Slipway's own tells, and no more. Raises as `facts`."""
    found = cluster.find(KINDS["ConfigMap"].path(namespace, name))
    return Facts(objects={"ConfigMap": [found] if found else []})


def traffic(cluster: Cluster, namespace: str) -> Facts:
    """Return what tells where requests go, and no more: pods and EndpointSlices. Raises as `facts`."""
    return Facts(pods=cluster.items(POD, namespace), slices=cluster.items(SLICE, namespace))
