"""The pod of a drill: the stack's servers, with empty volumes, then what restores into them, then its apps. Pure.

Containers start in this order, since all but the last are initContainers (those that go on are sidecars, Kubernetes 1.29). The
names of the stack's Services are the pod's own address in it, so nothing of it finds what serves.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.agent.data import pod_drill
from slipway.errors import BadInput
from slipway.settings.model import Stack
from slipway.target.kubernetes.data import pods, tools
from slipway.target.kubernetes.data.tools import NOBODY, RESTIC, Tool
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.overlay import pod_of

OLDEST = (1, 29)
"""The first Kubernetes whose initContainers may go on running."""
_ASIDE_MOUNT = "/slipway-aside"
_OF_POD = ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile")
_DROPPED = ("ports", "livenessProbe", "readinessProbe", "lifecycle")


def asked(stack: Stack, services: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the apps of a release that are asked whether they can serve: `name`, `port`, `ready`, `start_within`."""
    routes = {s.name: s.route.port for s in stack.of_role("app") if s.route}
    return [
        {"name": name, "port": routes[name], "ready": about["ready"], "start_within": float(about["start_within"]) + 60.0}
        for name, about in sorted(services.items()) if about.get("routed") and about.get("ready") and name in routes
    ]  # fmt: skip


def about(stack: Stack, found: Sequence[Tool], release: str, apps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the pod is told of itself (see `slipway.agent.data.pod.about`), for a drill."""
    told = tools.about(stack, found, release)
    redis = {f"{pod_drill.ASIDE}-{k.service}": k.service for k in stack.kept if k.kind == "redis"}
    volumes = {**told["volumes"], pod_drill.ASIDE: RESTIC, **redis}
    return {**told, "volumes": volumes, "asked": list(apps), "targets": tools.targets(stack, found)}


def refuse(stack: Stack, workloads: Sequence[Manifest]) -> None:
    """Raise BadInput where the stack does not go into one pod."""
    where = f"compose/{stack.name}/compose.yaml"
    outside = [k.service for k in stack.kept if k.host]
    if outside:
        raise BadInput(
            f"drills of databases that somebody else runs do not work on a cluster yet: {', '.join(outside)}", where=where,
            todo="inv restore --into NAME restores one beside, to look at it",
        )  # fmt: skip
    taken: dict[int, str] = {}
    for workload in workloads:
        for port in pod_of(workload)["containers"][0].get("ports", []):
            name = workload["metadata"]["name"]
            other = taken.setdefault(int(port["containerPort"]), name)
            if other != name:
                raise BadInput(
                    f"{other} and {name} both listen on port {port['containerPort']}, and a drill has them in one pod",
                    where=where, todo="give one of them another port",
                )  # fmt: skip


def spec(
    base: Manifest, found: Sequence[Tool], accessories: Sequence[Manifest], apps: Sequence[Manifest], names: Sequence[str], by: str
) -> Manifest:  # fmt: skip
    """Return the spec of a drill's pod.

    Args:
        base: a pod of the stack's data (`pods.spec`) whose agent is told to drill.
        found: its containers with tools.
        accessories: the stack's StatefulSets, as they are applied.
        apps: the Deployments whose apps are asked, as they are applied.
        names: of Services, which are the pod itself.
        by: who drills.
    """
    pod = copy.deepcopy(base)
    pod.pop("affinity", None)  # it has volumes of its own
    agent, *beside = pod["containers"]
    volumes = {v["name"]: v for v in pod["volumes"]}
    for claim in {c for t in found for c in t.claims.values()}:
        volumes[claim] = {"name": claim, "emptyDir": {}}
    for tool in beside:
        if tool["name"] == RESTIC or any(t.name == tool["name"] and t.address for t in found):
            name = pod_drill.ASIDE if tool["name"] == RESTIC else f"{pod_drill.ASIDE}-{tool['name']}"
            tool["volumeMounts"].append({"name": name, "mountPath": _ASIDE_MOUNT})
            volumes[name] = {"name": name, "emptyDir": {}}
    servers = [_sidecar(m, volumes, "server") for m in accessories]
    services = [_sidecar(m, volumes, "app") for m in apps]
    for tool in beside:
        tool["restartPolicy"] = "Always"
    for service in services:
        service.pop("startupProbe", None)  # the agent asks, and tells what it was answered
    first = {**agent, "name": "restore", "command": [*agent["command"], by]}
    last = {**copy.deepcopy(agent), "command": [*agent["command"][:-1], "ask"]}
    pod["initContainers"] = [*pod["initContainers"], *servers, *beside, first, *services]
    pod["containers"] = [last]
    pod["hostAliases"] = [{"ip": "127.0.0.1", "hostnames": sorted(names)}]
    pod["securityContext"] = {**pod["securityContext"], "fsGroup": NOBODY}
    pod["volumes"] = list(volumes.values())
    return pod


def _sidecar(workload: Manifest, volumes: dict[str, Manifest], role: str) -> Manifest:
    """Return a workload's container as a sidecar of a drill's pod, and add its volumes, of which none is the real one's."""
    pod, name = pod_of(workload), workload["metadata"]["name"]
    container: Manifest = copy.deepcopy(pod["containers"][0])
    for key in _DROPPED:
        container.pop(key, None)
    container["name"] = f"{role}-{container['name']}"
    shared = {k: v for k, v in (pod.get("securityContext") or {}).items() if k in _OF_POD}
    container["securityContext"] = {**shared, **container.get("securityContext", {})}
    container["restartPolicy"] = "Always"
    templates = {t["metadata"]["name"]: t for t in workload["spec"].get("volumeClaimTemplates", [])}
    sources = {v["name"]: v for v in pod.get("volumes", [])}
    for mount in container.get("volumeMounts", []):
        own, mount["name"] = mount["name"], f"{name}-{mount['name']}"
        claim = (sources.get(own, {}).get("persistentVolumeClaim") or {}).get("claimName")
        if own in templates:
            claim = f"{own}-{name}-0"
            if claim not in volumes:
                made = {"volumeClaimTemplate": {"spec": copy.deepcopy(templates[own]["spec"])}}
                volumes[mount["name"]] = {"name": mount["name"], "ephemeral": made}
                continue
        if claim:
            mount["name"] = claim
            volumes.setdefault(claim, {"name": claim, "emptyDir": {}})
        else:
            volumes[mount["name"]] = {**copy.deepcopy(sources[own]), "name": mount["name"]}
    return container


def job(namespace: str, stack: str, name: str, pod: Manifest) -> Manifest:
    """Return the Job of a drill: nothing of it stays, its volumes neither."""
    made = pods.job(namespace, stack, name, "drill", pod)
    made["spec"]["ttlSecondsAfterFinished"] = 60
    return made


def cron_job(namespace: str, stack: str, schedule: str, pod: Manifest) -> Manifest:
    """Return the CronJob of drills."""
    made = pods.cron_job(namespace, stack, "drill", schedule, pod)
    made["spec"]["jobTemplate"]["spec"]["ttlSecondsAfterFinished"] = 60
    return made
