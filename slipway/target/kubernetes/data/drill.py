"""`backup.drill` on a cluster: a Job whose pod is a stack of its own; the CronJob's is the same."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from slipway import report
from slipway.errors import BadInput, LeaseHeld, SlipwayError
from slipway.target.kubernetes import explain, records
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes.applying import applied
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.data import drill_pod, pods, setup
from slipway.target.kubernetes.data.setup import Setup
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.kinds import KINDS, POD, Manifest
from slipway.target.kubernetes.manifests import SERVICE
from slipway.target.kubernetes.workplace import Place, connected
from slipway.target.who import by

_STARTS_WITHIN = 600.0


def refuse_old(cluster: Cluster) -> None:
    """Raise BadInput where the cluster is too old for a drill's pod."""
    told = cluster.get("/version")
    number = (int(told["major"]), int("".join(c for c in told["minor"] if c.isdigit())))
    if number < drill_pod.OLDEST:
        raise BadInput(
            f"a drill needs Kubernetes {'.'.join(map(str, drill_pod.OLDEST))}", where=cluster.settings.context,
            seen=f"it is {told['major']}.{told['minor']}", todo="inv restore --into NAME restores beside, to look at it",
        )  # fmt: skip


def spec(found: Setup, facts: Facts, who: str) -> Manifest:
    """Return the spec of a drill's pod, of the release that serves. Raises BadInput where the stack does not go into one pod."""
    place = found.place
    values = place.values()
    accessories = making.accessory_manifests(place.overlay, values)
    meta = facts.releases.get(found.release, {})
    wanted = {a["name"] for a in drill_pod.asked(place.stack, meta.get("services", {}))}
    kept = records.manifests_of(facts, found.release) or [] if found.release else []
    made = making.with_secrets(kept, values, "app") if kept else []
    apps = [m for m in made if m["kind"] == "Deployment" and m["metadata"]["labels"].get(SERVICE) in wanted]
    servers = [m for m in accessories if m["kind"] == "StatefulSet"]
    drill_pod.refuse(place.stack, [*servers, *apps])
    names = {m["metadata"]["name"] for m in (*accessories, *made) if m["kind"] == "Service"}
    return drill_pod.spec(found.spec(["timer", "drill"]), found.tools, servers, apps, sorted(names), who)


def drill(place: Place) -> dict[str, Any]:
    """Restore the newest backup into a pod of its own, and return the evidence (see `slipway.data.drill.drill`)."""
    with connected(place) as session:
        cluster, facts = session.cluster, session.facts()
        refuse_old(cluster)
        found = setup.of(place, facts)
        setup.ensure(cluster, found)
        name = f"slipway-drill-{secrets.token_hex(3)}"
        manifest = drill_pod.job(place.namespace, place.stack.name, name, spec(found, facts, by()))
        with report.step(f"Restore {place.stack.name} into a pod of its own") as step:
            applied(cluster, manifest)
            try:
                pod = _await(cluster, place, name, step.say)
                told = _evidence(cluster, place, pod)
            finally:
                cluster.delete(KINDS["Job"].path(place.namespace, name))
            step.failed = told["verdict"] != "good"
            step.done(told["verdict"])
    return {"env": place.env.name, "stack": place.stack.name, **told}


def _await(cluster: Cluster, place: Place, job: str, say: Callable[[str], None]) -> Manifest:
    """Return a Job's pod once it is over. Raises SlipwayError where it does not start."""
    began, started = time.monotonic(), False
    while True:
        pods_ = cluster.items(POD, place.namespace, **{"batch.kubernetes.io/job-name": job})
        for pod in pods_:
            status = pod.get("status", {})
            if status.get("phase") in ("Succeeded", "Failed"):
                return pod
            states = {
                c["name"]: c for c in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", []))
            }
            at = next((n for n in (pods.AGENT, "restore") if "running" in states.get(n, {}).get("state", {})), "")
            started = started or bool(at)
            trouble = _trouble(states)
            if not started and (trouble or time.monotonic() - began > _STARTS_WITHIN):
                homeless = explain.trouble(pod)
                seen = trouble or (homeless.words if homeless else "its containers do not start")
                raise SlipwayError(
                    "the pod of the drill does not start", where=f"pod {pod['metadata']['name']}", seen=seen
                )
            said = cluster.logs(place.namespace, pod["metadata"]["name"], lines=1, container=at) if at else ""
            say(said[:200] or "starting throw-away services")
        if not pods_ and time.monotonic() - began > 30:
            raise SlipwayError(
                "the pod of the drill can't be made", where=f"job {job}", seen="see its events: kubectl describe job"
            )
        time.sleep(0.5)


def _trouble(states: dict[str, Manifest]) -> str:
    """Return why a container before the agent does not start: an image, a crash loop."""
    for name, status in states.items():
        waiting = status.get("state", {}).get("waiting", {})
        if waiting.get("reason") in (
            "ImagePullBackOff",
            "InvalidImageName",
            "CreateContainerConfigError",
            "CreateContainerError",
        ):
            return f"{name}: {waiting['reason']}: {waiting.get('message', '')}"
        if status.get("restartCount", 0) > 2:
            return f"{name} ends again and again: {json.dumps(status.get('lastState', {}).get('terminated', {}))[:300]}"
    return ""


def _evidence(cluster: Cluster, place: Place, pod: Manifest) -> dict[str, Any]:
    """Return the evidence that a drill's pod noted; raise as it says where it noted none."""
    name = pod["metadata"]["name"]
    notes = cluster.get(KINDS["ConfigMap"].path(place.namespace, pods.notes_name(place.stack.name))).get("data") or {}
    told: dict[str, Any] = json.loads(notes.get("drill.json") or "{}")
    if told.get("pod") == name:
        return told
    first: Manifest = next((c for c in pod["status"].get("initContainerStatuses", []) if c["name"] == "restore"), {})
    code = (first.get("state", {}).get("terminated") or {}).get("exitCode")
    seen = cluster.logs(place.namespace, name, lines=5, container="restore" if code else pods.AGENT)
    words = seen.rpartition("\n")[2].partition(": ")[2] or "the drill's pod ended without evidence"
    if code == 3:
        raise LeaseHeld(
            f"another run has the data of {place.stack.name}", where=place.context, seen=words, todo="wait for it"
        )
    kind = BadInput if code == 2 else SlipwayError
    raise kind(
        words.partition(": ")[0], where=place.context, seen=words, todo=f"inv backup.list --env {place.env.name}"
    )
