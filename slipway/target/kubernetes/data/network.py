"""NetworkPolicies of the pods of a stack's data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.target.kubernetes.data.pods import NAME, TASK, labels
from slipway.target.kubernetes.data.tools import Tool
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.manifests import SERVICE, STACK


def policies(namespace: str, stack: str, tools: Sequence[Tool], manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return what lets these pods reach the repository, wherever it is, and the accessories that policies close.

    An accessory that no policy closes is open: a policy of ours would close it to all others.

    Args:
        namespace: the stack's.
        stack: its name.
        tools: the containers of these pods.
        manifests: the overlay's.
    """
    mine = {"matchExpressions": [{"key": TASK, "operator": "Exists"}]}
    found = {NAME: {"podSelector": mine, "policyTypes": ["Ingress", "Egress"], "egress": [{}]}}
    shut = closed(manifests)
    for tool in (t for t in tools if t.address and t.name in shut):
        assert tool.address  # noqa: S101 - just asked
        found[f"{NAME}-{tool.name}"] = {
            "podSelector": {"matchLabels": {STACK: stack, SERVICE: tool.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": mine}], "ports": [{"port": tool.address[1]}]}],
        }
    return [
        {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "labels": labels(stack)},
        }
        for name, spec in found.items()
    ]  # fmt: skip


def closed(manifests: Sequence[Manifest]) -> set[str]:
    """Return the StatefulSets whose pods some policy selects for what comes in."""
    rules = [
        m["spec"]
        for m in manifests
        if m["kind"] == "NetworkPolicy" and "Ingress" in m["spec"].get("policyTypes", ["Ingress"])
    ]
    pods = {
        m["metadata"]["name"]: m["spec"]["template"]["metadata"].get("labels", {})
        for m in manifests
        if m["kind"] == "StatefulSet"
    }
    return {name for name, of in pods.items() if any(_selects(r.get("podSelector") or {}, of) for r in rules)}


def _selects(selector: Mapping[str, Any], of: Mapping[str, str]) -> bool:
    exact = (selector.get("matchLabels") or {}).items() <= of.items()
    return exact and all(_holds(e, of) for e in selector.get("matchExpressions") or [])


def _holds(expression: Mapping[str, Any], of: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    return {
        "In": of.get(key) in values, "NotIn": of.get(key) not in values, "Exists": key in of, "DoesNotExist": key not in of,
    }[operator]  # fmt: skip
