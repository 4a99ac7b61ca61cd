"""Pods of a stack's data, as manifests: what they may do, what they are given, when they run. Pure.

One container runs the agent; beside it stands one of each kept service's image, with restic in a volume that all share (see
`slipway.agent.data.pod`). None runs as root, and only the agent has a token: for its ConfigMap and to look at pods.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.agent.data import pod as inside
from slipway.target.kubernetes.data.tools import NOBODY, RESTIC, Tool
from slipway.target.kubernetes.facts import RECORD
from slipway.target.kubernetes.kinds import Kind, Manifest
from slipway.target.kubernetes.manifests import MANAGED, PULL, ROLE, SERVICE, STACK

AGENT = "slipway"
"""The container that the agent runs in."""
NAME = "slipway-data"
TASK = "slipway.task"
"""The label of these pods, with what they do: by it NetworkPolicies find them."""
LONGEST = 12 * 3600
ROLE_KIND = Kind("Role", "rbac.authorization.k8s.io/v1", "roles")
BINDING = Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings")
_TAKE = "cp /usr/bin/restic /slipway/restic; cp /etc/ssl/certs/ca-certificates.crt /slipway/ca.pem || :"


def labels(stack: str, **more: str) -> dict[str, str]:
    """Return the labels of what is made here: no deploy removes it."""
    return {MANAGED: "slipway", STACK: stack, ROLE: "backup", **more}


def given_name(stack: str) -> str:
    """Return the name of the Secret that pods are given."""
    return f"slipway-backup-{stack}"


def notes_name(stack: str) -> str:
    """Return the name of the ConfigMap that pods leave notes in."""
    return f"slipway-data-{stack}"


def agent_name(stack: str, agent: bytes) -> str:
    """Return the name of the ConfigMap with the agent: by what it holds, since a pod reads it by and by."""
    return f"slipway-agent-{stack}-{hashlib.sha256(agent).hexdigest()[:10]}"


def hostname(env: str, stack: str) -> str:
    """Return the host name of all pods of a stack's data: it tells whose a lock in the repository is."""
    return f"slipway-{stack}-{env}"[:63].rstrip("-")


def given(namespace: str, stack: str, files: Mapping[str, str]) -> Manifest:
    """Return the Secret with what is kept, where, and what opens it."""
    data = {k: base64.b64encode(v.encode()).decode() for k, v in files.items()}
    metadata = {"name": given_name(stack), "namespace": namespace, "labels": labels(stack)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


def agent_map(namespace: str, stack: str, agent: bytes) -> Manifest:
    """Return the ConfigMap with the agent."""
    metadata = {"name": agent_name(stack, agent), "namespace": namespace, "labels": labels(stack, **{RECORD: "agent"})}
    binary = {"agent.pyz": base64.b64encode(agent).decode()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": binary}


def notes_map(namespace: str, stack: str) -> Manifest:
    """Return the ConfigMap of notes, empty: what is in it is the pods'."""
    metadata = {"name": notes_name(stack), "namespace": namespace, "labels": labels(stack, **{RECORD: "data"})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def rights(namespace: str, stack: str) -> list[Manifest]:
    """Return the account of these pods and what it may: change the one ConfigMap, and look whether another pod is at work."""
    metadata = {"name": NAME, "namespace": namespace, "labels": labels(stack)}
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [notes_name(stack)], "verbs": ["get", "update", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]  # fmt: skip
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata, "automountServiceAccountToken": False},
        {"apiVersion": ROLE_KIND.api, "kind": "Role", "metadata": metadata, "rules": rules},
        {
            "apiVersion": BINDING.api, "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
        },
    ]  # fmt: skip


def spec(
    env: str, stack: str, runner: str, agent: str, tools: Sequence[Tool], argv: Sequence[str], *, memory: int = 1024,
    write: bool = False, pull: bool = False,
) -> Manifest:  # fmt: skip
    """Return a pod's spec.

    Args:
        env: the environment.
        stack: the stack.
        runner: an image with python3.
        agent: name of the ConfigMap with the agent.
        tools: the containers beside it.
        argv: what the agent is told.
        memory: limit of each container with tools, in MiB.
        write: volumes are written: a restore.
        pull: there is a pull secret.
    """
    containers = [_agent(runner, argv), *(_tool(t, memory, write) for t in tools)]
    volumes: list[Manifest] = [
        {"name": "slipway", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        {"name": "cache", "emptyDir": {}},
        {"name": "configuration", "emptyDir": {}},
        *({"name": f"tmp-{c['name']}", "emptyDir": {}} for c in containers),
        {"name": "agent", "configMap": {"name": agent}},
        {"name": "given", "secret": {"secretName": given_name(stack), "defaultMode": 0o444}},
        {"name": "account", "projected": {"sources": _account()}},
    ]
    claims = sorted({c for t in tools for c in t.claims.values()})
    volumes += [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 10,
        "hostname": hostname(env, stack),
        **_beside([t.name for t in tools if t.claims]),
        **({"imagePullSecrets": [{"name": PULL}]} if pull else {}),
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": NOBODY, "runAsGroup": NOBODY, "seccompProfile": {"type": "RuntimeDefault"},
            "supplementalGroups": sorted({g for t in tools for g in t.groups}),
        },
        "initContainers": [_container(
            "restic-program", tools[0].image, ["sh", "-c", _TAKE], [{"name": "slipway", "mountPath": "/slipway"}], 128,
        )],
        "containers": containers,
        "volumes": volumes,
    }  # fmt: skip


def _beside(services: Sequence[str]) -> Manifest:
    """Return what brings a pod to the nodes of these services' pods: a volume may be had on one node at a time."""
    if not services:
        return {}
    selector = {"matchExpressions": [{"key": SERVICE, "operator": "In", "values": list(services)}]}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}


def _account() -> list[Manifest]:
    """Return what a service account's token looks like, for one container alone."""
    space = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [space]}},
    ]


def _container(
    name: str, image: str, command: Sequence[str], mounts: Sequence[Manifest], memory: int, **more: Any
) -> Manifest:
    return {
        "name": name,
        "image": image,
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            **more.pop("security", {}),
        },
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": f"{memory}Mi"}},
        "volumeMounts": list(mounts),
        **more,
    }  # fmt: skip


def _agent(runner: str, argv: Sequence[str]) -> Manifest:
    mounts = [
        *_shared(AGENT),
        {"name": "home", "mountPath": "/var/lib/slipway"},
        {"name": "configuration", "mountPath": "/configuration"},
        {"name": "agent", "mountPath": "/agent", "readOnly": True},
        {"name": "account", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
    ]
    env = [
        {"name": "SLIPWAY_POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
    ]
    return _container(AGENT, runner, ["python3", "-u", "/agent/agent.pyz", *argv], mounts, 256, env=env)


def _tool(tool: Tool, memory: int, write: bool) -> Manifest:
    mounts = [*_shared(tool.name), {"name": "cache", "mountPath": "/cache"}]
    mounts += (
        [{"name": "configuration", "mountPath": "/configuration", "readOnly": True}] if tool.name == RESTIC else []
    )
    mounts += [
        {"name": claim, "mountPath": path, **({} if write else {"readOnly": True})}
        for path, claim in sorted(tool.claims.items())
    ]
    security = {"security": {"runAsUser": tool.user, "runAsGroup": tool.group}}
    return _container(tool.name, tool.image, ["sh", "-c", inside.SERVE, tool.name], mounts, memory, **security)


def _shared(name: str) -> list[Manifest]:
    return [
        {"name": "slipway", "mountPath": "/slipway"},
        {"name": "given", "mountPath": str(inside.GIVEN), "readOnly": True},
        {"name": f"tmp-{name}", "mountPath": "/tmp"},  # noqa: S108 - its own
    ]


def job(namespace: str, stack: str, name: str, task: str, pod: Manifest) -> Manifest:
    """Return a Job that runs such a pod once."""
    template = {"metadata": {"labels": _pod_labels(stack, task)}, "spec": pod}
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(stack, **{TASK: task})},
        "spec": {**_once(), "ttlSecondsAfterFinished": 600, "template": template},
    }  # fmt: skip


def cron_job(namespace: str, stack: str, task: str, schedule: str, pod: Manifest) -> Manifest:
    """Return a CronJob that runs such a pod by itself; one that was missed is made up for."""
    template = {"metadata": {"labels": _pod_labels(stack, task)}, "spec": pod}
    return {
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": f"slipway-{task}", "namespace": namespace, "labels": labels(stack, **{TASK: task})},
        "spec": {
            "schedule": schedule, "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 2,
            "jobTemplate": {"metadata": {"labels": labels(stack, **{TASK: task})}, "spec": {**_once(), "template": template}},
        },
    }  # fmt: skip


def _once() -> Manifest:
    return {"backoffLimit": 0, "activeDeadlineSeconds": LONGEST}


def _pod_labels(stack: str, task: str) -> dict[str, str]:
    """Return a pod's labels: none by which a Service finds an app's pods."""
    return {
        "app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "job", MANAGED: "slipway", STACK: stack, TASK: task,
    }  # fmt: skip


def digest(manifest: Mapping[str, Any]) -> str:
    """Return a digest of a manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
