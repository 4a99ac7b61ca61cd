"""Waiting for pods: progress while it goes on, and at once, in words, why it does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from slipway.errors import SlipwayError
from slipway.target.kubernetes import explain
from slipway.target.kubernetes.changes import Changes
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.explain import Trouble
from slipway.target.kubernetes.facts import complete, ready
from slipway.target.kubernetes.kinds import EVENT, KINDS, POD
from slipway.target.kubernetes.manifests import RELEASE, SERVICE

Object = dict[str, Any]
Progress = Callable[[str], None]

PULL_WITHIN = 600.0
"""Seconds for what comes before a container starts: a node, a volume, its image."""
_MADE_WITHIN = 30.0
_NO_NODE_WITHIN = 60.0
"""Seconds for which a pod that no node takes is waited for: so long does a cluster take to see that it needs one more."""


class Watch:
    """Looks at pods until they are as they should be.

    Args:
        cluster: where.
        namespace: theirs.
        progress: told what is waited for.
        check: called before each look; raises where the run may not go on.
    """

    def __init__(self, cluster: Cluster, namespace: str, progress: Progress, check: Callable[[], None]) -> None:
        self.cluster, self.namespace, self.progress, self.check = cluster, namespace, progress, check
        self._since: dict[str, float] = {}

    def deployments(self, wanted: Mapping[str, tuple[str, float]], release: str) -> dict[str, float]:
        """Wait until Deployments are complete; return after how many seconds each was.

        Args:
            wanted: by name: the service, and how many seconds a container may take to get ready.
            release: whose pods they get.

        Raises:
            SlipwayError: a pod ended, or does not get ready: which, and why.
        """
        began, done = time.monotonic(), dict[str, float]()
        with Changes(self.cluster, self.namespace, (KINDS["Deployment"], POD)) as changes:
            while not self._deployments(wanted, release, began, done):
                changes.wait()
        return done

    def _deployments(
        self, wanted: Mapping[str, tuple[str, float]], release: str, began: float, done: dict[str, float]
    ) -> bool:
        """Look once; tell whether all are complete."""
        self.check()
        paths = {n: KINDS["Deployment"].path(self.namespace, n) for n in wanted if n not in done}
        found = {name: self.cluster.get(path) for name, path in paths.items()}
        for name, one in found.items():
            if complete(one):
                done[name] = round(time.monotonic() - began, 2)
            elif why := explain.refused(one):
                raise SlipwayError(f"pods of {name} can't be made", where=f"deployment {name}", seen=why)
        left = [n for n in wanted if n not in done]
        if not left:
            return True
        pods = self._pods({RELEASE: release})
        for name in left:
            service, within = wanted[name]
            mine = [p for p in pods if p["metadata"].get("labels", {}).get(SERVICE) == service]
            self._refuse_none(mine, name)
            self._judge(mine, within)
        self.progress(", ".join(_words(found[n], wanted[n][0], pods) for n in left))
        return False

    def stateful(self, names: Sequence[str]) -> None:
        """Wait until StatefulSets are ready. Raises as `deployments`."""
        with Changes(self.cluster, self.namespace, (KINDS["StatefulSet"], POD)) as changes:
            while not self._stateful(names):
                changes.wait()

    def _stateful(self, names: Sequence[str]) -> bool:
        """Look once; tell whether all are ready."""
        self.check()
        found = [self.cluster.get(KINDS["StatefulSet"].path(self.namespace, name)) for name in names]
        left = [s for s in found if not _is_up(s)]
        if not left:
            return True
        pods = self._pods({})
        for one in left:
            name = one["metadata"]["name"]
            mine = [p for p in pods if p["metadata"].get("labels", {}).get(SERVICE) == name]
            self._refuse_none(mine, name)
            self._judge(mine, 120.0)
        self.progress("waiting for " + ", ".join(s["metadata"]["name"] for s in left))
        return False

    def _refuse_none(self, pods: Sequence[Object], name: str) -> None:
        """Raise SlipwayError where nobody makes pods: the cluster's controllers are away, or refuse."""
        age = time.monotonic() - self._since.setdefault(f"pods of {name}", time.monotonic())
        if not pods and age > _MADE_WITHIN:
            seen = "; ".join(str(e.get("message", "")) for e in self.events(name)[-3:])
            raise SlipwayError(f"no pod of {name} is made", where=name, seen=seen or f"nothing, after {age:.0f} s")

    def _pods(self, labels: Mapping[str, str]) -> list[Object]:
        found = self.cluster.items(POD, self.namespace, **dict(labels))
        return [p for p in found if "deletionTimestamp" not in p["metadata"]]

    def _judge(self, pods: Sequence[Object], within: float) -> None:
        """Raise SlipwayError where a pod will not get ready, or takes too long."""
        for pod in (p for p in pods if not ready(p)):
            name = pod["metadata"]["name"]
            age = time.monotonic() - self._since.setdefault(name, time.monotonic())
            found = explain.trouble(pod)
            if found and found.final:
                raise self._failure(pod, explain.trouble(pod, self.events(name)) or found)
            started = _started(pod)
            if started:
                since = time.monotonic() - self._since.setdefault(f"{name} started", time.monotonic())
                late = since > within + 2
            else:
                late = age > (_NO_NODE_WITHIN if found and found.homeless else PULL_WITHIN)
            if late:
                told = explain.trouble(pod, self.events(name)) or Trouble("it does not get ready")
                raise self._failure(
                    pod, Trouble(f"{told.words} (after {age:.0f} s)", True, told.container or _name(pod))
                )

    def events(self, pod: str) -> list[Object]:
        """Return the cluster's events of a pod, oldest first."""
        found = self.cluster.get(EVENT.path(self.namespace), fieldSelector=f"involvedObject.name={pod}")["items"]
        return sorted(found, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))

    def _failure(self, pod: Object, found: Trouble) -> SlipwayError:
        name = pod["metadata"]["name"]
        said = ""
        if found.container:
            said = self.cluster.logs(self.namespace, name, previous=found.previous, container=found.container)
            said = said or self.cluster.logs(self.namespace, name, container=found.container)
        service = pod["metadata"].get("labels", {}).get(SERVICE, name)
        words = f"{found.words}\n{said}" if said else found.words
        return SlipwayError(f"{service} does not get ready", where=f"pod {name}", seen=words)


def _name(pod: Object) -> str:
    return str(pod["spec"]["containers"][0]["name"])


def _started(pod: Object) -> bool:
    return any("running" in c.get("state", {}) for c in pod.get("status", {}).get("containerStatuses", []))


def _is_up(one: Object) -> bool:
    status, wanted = one.get("status", {}), one["spec"].get("replicas", 1)
    current = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 1)
    same = status.get("currentRevision") == status.get("updateRevision")
    return bool(current and same and status.get("readyReplicas", 0) == wanted == status.get("updatedReplicas", wanted))


def _words(deployment: Object, service: str, pods: Sequence[Object]) -> str:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    mine = [p for p in pods if p["metadata"].get("labels", {}).get(SERVICE) == service]
    up = sum(ready(p) for p in mine)
    old = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    why = next((t.words for p in mine if not ready(p) and (t := explain.trouble(p))), "")
    return f"{service} {up} of {wanted} ready" + (f", {old} old" if old > 0 else "") + (f" ({why[:80]})" if why else "")
