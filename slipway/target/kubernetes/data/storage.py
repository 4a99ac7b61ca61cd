"""`storage.review` on a cluster: its claims on storage, beside the tables and backups that the agent in a pod tells of."""

from __future__ import annotations

import re
from typing import Any

from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import KINDS, Manifest
from slipway.target.kubernetes.workplace import Place, connected

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_ENDING = re.compile(r"([0-9.]+)([A-Za-z]*)")


def volumes(place: Place) -> list[dict[str, Any]]:
    """Return the claims on storage in the stack's namespace: `name`, `bytes` that are reserved, whether no pod has it, `stack`."""
    with connected(place) as session:
        claims = session.cluster.items(KINDS["PersistentVolumeClaim"], place.namespace)
        return told(claims, session.facts())


def told(claims: list[Manifest], facts: Facts) -> list[dict[str, Any]]:
    """Return what `volumes` does, of claims and facts. Pure."""
    mounted = {
        (v.get("persistentVolumeClaim") or {}).get("claimName")
        for p in facts.pods
        for v in p["spec"].get("volumes", [])
    } | {
        f"{p['metadata']['name']}-{v['name']}"
        for p in facts.pods
        for v in p["spec"].get("volumes", [])
        if "ephemeral" in v
    }
    found = [
        {
            "name": c["metadata"]["name"],
            "bytes": size((c.get("status", {}).get("capacity") or c["spec"]["resources"]["requests"])["storage"]),
            "unused": c["metadata"]["name"] not in mounted,
            "stack": c["metadata"].get("labels", {}).get("slipway.stack"),
        }
        for c in claims
    ]
    return sorted(found, key=lambda v: -int(v["bytes"]))


def size(quantity: str) -> int:
    """Return a quantity as Kubernetes writes it (`10Gi`) in bytes; -1 where it is written otherwise."""
    found = _ENDING.fullmatch(quantity)
    return int(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else -1
