"""Commands in a pod of a release's image: migrations. A Job that runs once, and is removed with what it said told."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway.errors import SlipwayError
from slipway.target.kubernetes import explain
from slipway.target.kubernetes.changes import Changes
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.kinds import EVENT, KINDS, POD, Manifest
from slipway.target.kubernetes.manifests import LONGEST_JOB, MANAGED, RELEASE, ROLE, SERVICE, STACK

_LOOK_EVERY = 0.3
_STARTS_WITHIN = 600.0
_MADE_WITHIN, _NO_NODE_WITHIN = 3.0, 60.0
_GONE_WITHIN = 90.0
"""Seconds that a pod of before may take to end: it has 30 to do so."""


def job(
    deployment: Manifest, name: str, argv: Sequence[str], *, instead: bool = False, env: Mapping[str, str] | None = None
) -> Manifest:
    """Return a Job that runs a command as a Deployment's pods run: image, settings, secrets, user, volumes.

    Args:
        deployment: whose.
        name: of the Job.
        argv: what to run, given to the image's entry point.
        instead: it takes the entry point's place.
        env: more variables.
    """
    template = copy.deepcopy(deployment["spec"]["template"])
    labels = deployment["metadata"]["labels"]
    # None of the labels by which Services and NetworkPolicies find the service's own pods.
    ours = {
        "app.kubernetes.io/name": "job", "app.kubernetes.io/component": "job", MANAGED: "slipway",
        STACK: labels[STACK], ROLE: "job", RELEASE: labels.get(RELEASE, ""),
    }  # fmt: skip
    pod = template["spec"]
    (container,) = pod["containers"]
    for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports"):
        container.pop(key, None)
    container["command" if instead else "args"] = list(argv)
    if instead:
        container.pop("args", None)
    container["env"] = [*container.get("env", []), *({"name": k, "value": v} for k, v in (env or {}).items())]
    pod.pop("topologySpreadConstraints", None)
    pod |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 30}
    metadata = {"name": name, "namespace": deployment["metadata"]["namespace"], "labels": {**ours, SERVICE: "job"}}
    spec = {
        "backoffLimit": 0, "activeDeadlineSeconds": LONGEST_JOB, "ttlSecondsAfterFinished": 3600,
        "template": {"metadata": {"labels": {**ours, SERVICE: "job"}}, "spec": pod},
    }  # fmt: skip
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def run(
    cluster: Cluster, manifest: Manifest, progress: Callable[[str], None], check: Callable[[], None], what: str
) -> str:
    """Run a Job to its end, and return what it said.

    Args:
        cluster: where.
        manifest: the Job.
        progress: told its last line.
        check: called before each look; raises where the run may not go on.
        what: for the error: what failed.

    Raises:
        SlipwayError: it ended otherwise than with 0, or did not start.
    """
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    path = KINDS["Job"].path(namespace, name)
    check()
    cluster.delete(path, propagation="Foreground")
    began = time.monotonic()
    while cluster.find(path) is not None:  # of a run before, that was killed
        check()
        if time.monotonic() - began > _GONE_WITHIN:
            todo = f"kubectl --namespace {namespace} get job {name} --output yaml tells what holds it"
            raise SlipwayError("the job of a run before does not go away", where=f"job {name}", todo=todo)
        time.sleep(_LOOK_EVERY)
    check()
    uid = str(cluster.apply(manifest, force=True)["metadata"]["uid"])
    began = time.monotonic()
    try:
        with Changes(cluster, namespace, (KINDS["Job"], POD)) as changes:
            while True:
                changes.wait()
                check()
                status = cluster.get(path).get("status", {})
                pods = cluster.items(POD, namespace, **{"batch.kubernetes.io/job-name": name})
                if status.get("succeeded"):
                    return cluster.logs(namespace, pods[-1]["metadata"]["name"], lines=100_000) if pods else ""
                if status.get("failed"):
                    raise SlipwayError(what, where=f"job {name}", seen=_end(cluster, pods) or _conditions(status))
                if not pods and time.monotonic() - began > _MADE_WITHIN:
                    _refuse_unmade(cluster, namespace, name, uid)
                for pod in pods:
                    _look(cluster, pod, progress, time.monotonic() - began, name)
    finally:
        cluster.delete(path, uid=uid)  # the next run may have one of that name by now


def _refuse_unmade(cluster: Cluster, namespace: str, name: str, uid: str) -> None:
    """Raise SlipwayError where a Job's pod can't be made: a quota, Pod Security, an admission webhook."""
    # Its uid: Jobs of that name were there before, and their events are.
    events = cluster.get(EVENT.path(namespace), fieldSelector=f"involvedObject.uid={uid}")["items"]
    for event in events:
        if event.get("reason") == "FailedCreate":
            raise SlipwayError("a job's pod can't be made", where=f"job {name}", seen=str(event.get("message", "")))


def _look(cluster: Cluster, pod: Manifest, progress: Callable[[str], None], age: float, name: str) -> None:
    found = explain.trouble(pod)
    late = age > (_NO_NODE_WITHIN if found and found.homeless else _STARTS_WITHIN)
    if found and not found.container and (found.final or late):
        raise SlipwayError("a job's pod does not start", where=f"job {name}", seen=found.words)
    if pod.get("status", {}).get("phase") == "Running":
        said = cluster.logs(pod["metadata"]["namespace"], pod["metadata"]["name"], lines=1)
        if said:
            progress(said[:200])


def _end(cluster: Cluster, pods: Sequence[Manifest]) -> str:
    """Return how a Job's pod ended, and its last words."""
    if not pods:
        return ""
    found = explain.trouble(pods[-1])
    said = cluster.logs(pods[-1]["metadata"]["namespace"], pods[-1]["metadata"]["name"], lines=25)
    return "\n".join(part for part in (found.words if found else "", said) if part)


def _conditions(status: Mapping[str, Any]) -> str:
    return "; ".join(str(c.get("message", c.get("reason", ""))) for c in status.get("conditions", []))
