"""Pods stop while data are put in place, and start again: the operations `apps.stop`, `apps.start`, `data.stop`, `data.start`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway.errors import SlipwayError
from slipway.target.kubernetes.applying import STARTER
from slipway.target.kubernetes.kinds import KINDS, POD
from slipway.target.kubernetes.rollout import Watch
from slipway.target.kubernetes.session import ClusterSession

Progress = Callable[[str], None]
Result = dict[str, Any]
_LONGEST = 3700.0
"""Seconds that pods get to end: each has its own grace period."""


def scale(session: ClusterSession, kind: str, name: str, count: int) -> None:
    """Have a Deployment or StatefulSet have so many pods. Raises SlipwayError."""
    path = KINDS[kind].path(session.namespace, name)
    session.check()
    session.cluster.request(
        "PATCH", f"{path}/scale", {"spec": {"replicas": count}}, what=f"scale of {kind.lower()} {name}",
        kind="application/merge-patch+json", fieldManager=STARTER,
    )  # fmt: skip


def stop(
    session: ClusterSession, progress: Progress, kind: str, groups: Sequence[Sequence[str]], services: Sequence[str]
) -> Result:
    """End pods, group by group, each pod with its grace period; those that are gone already are passed over.

    Args:
        session: the cluster.
        progress: told what is waited for.
        kind: Deployment or StatefulSet.
        groups: names.
        services: whose pods these are.
    """
    for names in groups:
        for name in names:
            scale(session, kind, name, 0)
        _await_none(session, progress, kind, names)
    return {"stopped": [n for names in groups for n in names], "services": list(services)}


def _await_none(session: ClusterSession, progress: Progress, kind: str, names: Sequence[str]) -> None:
    until = time.monotonic() + _LONGEST
    while True:
        session.check()
        pods = session.cluster.items(POD, session.namespace)
        left = [p["metadata"]["name"] for p in pods if _is_of(p, names)]
        if not left:
            return
        if time.monotonic() > until:
            raise SlipwayError(f"pods do not end: {', '.join(left)}", where=kind.lower())
        progress(f"waiting for {', '.join(left)} to end")
        time.sleep(0.3)


def _is_of(pod: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Tell whether a pod is of one of these Deployments or StatefulSets, and not over."""
    over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    owners = ((o["kind"], o["name"]) for o in pod["metadata"].get("ownerReferences", []))
    # A Deployment's ReplicaSets are called by its name and a hash.
    return not over and any(
        (name.rpartition("-")[0] if kind == "ReplicaSet" else name) in names for kind, name in owners
    )


def start(
    session: ClusterSession, progress: Progress, groups: Sequence[Sequence[Sequence[Any]]], release: str
) -> Result:
    """Start a release's apps again, group by group, and wait until they are ready.

    Args:
        session: the cluster.
        progress: told what is waited for.
        groups: for each Deployment its name, its service, how many pods, and how many seconds these may take.
        release: whose.
    """
    watch = Watch(session.cluster, session.namespace, progress, session.check)
    for group in groups:
        for name, _, count, _ in group:
            scale(session, "Deployment", name, count)
        watch.deployments({name: (service, within) for name, service, _, within in group}, release)
    return {}


def start_data(session: ClusterSession, progress: Progress, counts: Sequence[Sequence[Any]]) -> Result:
    """Start StatefulSets again, by name and number of pods, and wait until they are ready."""
    for name, count in counts:
        scale(session, "StatefulSet", name, count)
    Watch(session.cluster, session.namespace, progress, session.check).stateful([name for name, _ in counts])
    return {}
