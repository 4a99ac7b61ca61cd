"""What Slipway notes in a stack's namespace: each release, the run in hand, the ledger. All ConfigMaps, all bounded. Pure."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from slipway.settings.model import Stack, StackEntry
from slipway.target.kubernetes.facts import RECORD, Facts
from slipway.target.kubernetes.kinds import KINDS, Kind, Manifest
from slipway.target.kubernetes.manifests import MANAGED, ROLE, STACK

LEDGER_ENTRIES = 200
"""Newest entries of the ledger that are kept: an object has a megabyte at most."""


def _map(stack: str, namespace: str, name: str, kind: str, **more: Any) -> Manifest:
    labels = {MANAGED: "slipway", STACK: stack, RECORD: kind}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **more}


def release_name(release: str) -> str:
    """Return the name of the ConfigMap that holds a release."""
    return f"slipway-release-{release}"


def meta(
    stack: Stack, entry: StackEntry, release: str, version: str, images: Mapping[str, str], **more: Any
) -> dict[str, Any]:
    """Return what is recorded of a release besides its manifests."""
    services = {
        s.name: {
            "role": s.role,
            "phase": s.phase,
            "routed": bool(s.route),
            "ready": s.health.ready if s.health and s.route else None,
            "start_within": s.health.start_within if s.health else 60.0,
        }
        for s in stack.of_role("app")
    }
    routes = [
        {"service": s.name, "path": s.route.path, "live": s.health.live if s.health else None}
        for s in stack.of_role("app")
        if s.route
    ]
    return {
        "id": release, "version": version, "images": dict(images), "services": services,
        "router": {"routes": routes, "domain": entry.domain},
        "smoke": [s.model_dump(by_alias=True) for s in stack.smoke], **more,
    }  # fmt: skip


def release_record(stack: str, namespace: str, meta: Mapping[str, Any], manifests: Sequence[Manifest]) -> Manifest:
    """Return the ConfigMap that brings a release back without a checkout; no value of a secret is in it."""
    packed = gzip.compress(json.dumps(list(manifests), sort_keys=True).encode(), mtime=0)
    data = {"meta": json.dumps(dict(meta), sort_keys=True)}
    binary = {"manifests": base64.b64encode(packed).decode()}
    return _map(stack, namespace, release_name(str(meta["id"])), "release", data=data, binaryData=binary)


def manifests_of(facts: Facts, release: str) -> list[Manifest] | None:
    """Return the manifests that are recorded of a release."""
    record = facts.named("ConfigMap", release_name(release))
    if not record or "manifests" not in record.get("binaryData", {}):
        return None
    found: list[Manifest] = json.loads(gzip.decompress(base64.b64decode(record["binaryData"]["manifests"])))
    return found


def state_name(stack: str) -> str:
    """Return the name of the ConfigMap with the run in hand."""
    return f"slipway-state-{stack}"


def state_record(stack: str, namespace: str, state: Mapping[str, Any]) -> Manifest:
    """Return the ConfigMap with the run in hand and the accessories that were applied."""
    return _map(stack, namespace, state_name(stack), "state", data={k: json.dumps(v) for k, v in state.items()})


def ledger_name(stack: str) -> str:
    """Return the name of the ConfigMap with the ledger."""
    return f"slipway-ledger-{stack}"


def ledger_record(stack: str, namespace: str, entries: Sequence[Mapping[str, Any]]) -> Manifest:
    """Return the ConfigMap with the newest entries of the ledger."""
    lines = [json.dumps(dict(e)) for e in entries[-LEDGER_ENTRIES:]]
    while len(lines) > 1 and sum(map(len, lines)) > 500_000:
        lines = lines[1:]
    return _map(stack, namespace, ledger_name(stack), "ledger", data={"ledger": "\n".join(lines)})


def strays(
    facts: Facts, stack: str, keep: Sequence[Sequence[str]], releases: Collection[str] | None
) -> list[tuple[Kind, str]]:
    """Return what no manifest has any more: ours alone, never an accessory or a volume.

    Args:
        facts: what there is.
        stack: whose.
        keep: kinds and names that stay.
        releases: those that stay recorded; None: all.
    """
    wanted = {(k, n) for k, n in keep}
    names = None if releases is None else {release_name(r) for r in releases}
    found = []
    for kind in (k for k in KINDS.values() if k.pruned):
        for metadata in (one["metadata"] for one in facts.objects.get(kind.name, ())):
            labels, name = metadata.get("labels", {}), metadata["name"]
            ours = (
                labels.get(MANAGED) == "slipway"
                and labels.get(STACK) == stack
                and labels.get(ROLE) not in ("accessory", "backup")
            )
            if recorded := labels.get(RECORD):
                stays = recorded != "release" or names is None or name in names
            else:
                stays = (kind.name, name) in wanted
            if ours and not stays and "deletionTimestamp" not in metadata:
                found.append((kind, name))
    return found


def kept(facts: Facts, live: str, keep: int) -> set[str]:
    """Return the releases that stay recorded: the live one, and the newest verified ones."""
    verified = sorted(
        (m for m in facts.releases.values() if m.get("verified")), key=lambda m: m.get("activated_run", 0), reverse=True
    )
    newest = [str(m["id"]) for m in verified if m["id"] != live]
    return {live, *newest[:keep]}
