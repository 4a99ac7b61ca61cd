"""The kinds of objects that a stack's manifests may hold, in the order in which they are applied; where the API has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

Manifest = dict[str, Any]
"""An object as manifests have it."""


@dataclass(frozen=True)
class Kind:
    """A kind of objects in a namespace.

    Args:
        name: as manifests have it.
        api: group and version.
        plural: as the API's paths have it.
        pruned: whether one that the manifests no longer have is removed.
    """

    name: str
    api: str
    plural: str
    pruned: bool = True

    def path(self, namespace: str, name: str = "") -> str:
        """Return the API's path of one object, or of all of a namespace."""
        root = "/api/v1" if self.api == "v1" else f"/apis/{self.api}"
        return f"{root}/namespaces/{namespace}/{self.plural}" + (f"/{quote(name)}" if name else "")

    @property
    def word(self) -> str:
        """What people call it in commands: `deployment`."""
        return self.name.lower()


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ResourceQuota", "v1", "resourcequotas"),
        Kind("LimitRange", "v1", "limitranges"),
        Kind("ServiceAccount", "v1", "serviceaccounts"),
        Kind("ConfigMap", "v1", "configmaps"),
        Kind("Secret", "v1", "secrets"),
        Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims", pruned=False),
        Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
        Kind("Service", "v1", "services"),
        Kind("StatefulSet", "apps/v1", "statefulsets"),
        Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
        Kind("Deployment", "apps/v1", "deployments"),
        Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
        Kind("Ingress", "networking.k8s.io/v1", "ingresses"),
        Kind("Job", "batch/v1", "jobs"),
        Kind("CronJob", "batch/v1", "cronjobs"),
    )
}
"""What is there first stands first."""

POD = Kind("Pod", "v1", "pods")
EVENT = Kind("Event", "v1", "events")
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")
SLICE = Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices")


def kind_of(manifest: dict[str, Any]) -> Kind:
    """Return the kind of a manifest. Raise KeyError where it is none of ours."""
    return KINDS[manifest["kind"]]


def in_order(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return manifests in the order in which they are applied."""
    order = list(KINDS)
    return sorted(manifests, key=lambda m: (order.index(m["kind"]), m["metadata"]["name"]))
