"""What pods say: asked of the API server, all at once, in the order of time; what it keeps of ended containers included."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from queue import Empty, Queue
from typing import Any, NamedTuple

from slipway.agent.logs.files import full
from slipway.agent.logs.operations import moment
from slipway.agent.logs.select import Wanted
from slipway.errors import SlipwayError
from slipway.target.kubernetes.facts import Object
from slipway.target.kubernetes.kinds import POD
from slipway.target.kubernetes.manifests import RELEASE, SERVICE, STACK
from slipway.target.kubernetes.session import ClusterSession

_LIST_EVERY, _PATIENCE = 1.0, 0.5
"""Seconds between looks for new pods; for which a line waits for earlier ones of other pods."""


class PodLine(NamedTuple):
    """One line of a pod: when the node got it (UTC), where, and of whom (`service`, `release`, `container`)."""

    time: str
    host: str
    stream: str
    text: str
    source: Mapping[str, str]


class PodLogs:
    """The lines of a stack's pods.

    Args:
        session: where.
        params: what is asked, see `slipway.watch.logs.query.Query`; `--host` names nodes.
        nodes: only these; () is all.
    """

    def __init__(self, session: ClusterSession, params: Mapping[str, Any], nodes: tuple[str, ...]) -> None:
        self.session, self.params, self.nodes = session, params, nodes
        since, until = moment(params["since"]), moment(params["until"])
        self._since = since
        self._wanted = Wanted(since, until, params["grep"], params["fields"], params["request_id"])
        self._cluster = session.cluster
        self.lost: list[str] = []
        """Pods that did not tell all, and why."""

    def past(self) -> Iterator[PodLine]:
        """Yield what there is."""
        found = heapq.merge(*(self._of(pod) for pod in self._pods()), key=lambda line: line.time)
        count = self.params["tail"]
        yield from found if count is None else deque(found, maxlen=count)

    def coming(self) -> Iterator[PodLine]:
        """Yield what there is, and then what comes, for ever; of pods that are made meanwhile as well."""
        newest = ""
        there = set(map(_run_of, self._pods()))
        for line in self.past():
            newest = line.time
            yield line
        arrivals: Queue[PodLine] = Queue()
        followed: set[tuple[str, int]] = set()
        waiting: list[tuple[str, float, PodLine]] = []
        looked = 0.0
        while True:
            if time.monotonic() - looked > _LIST_EVERY:
                looked = time.monotonic()
                for pod in self._pods():
                    run = _run_of(pod)
                    if run not in followed and _talks(pod):
                        followed.add(run)
                        after = newest if run in there else ""
                        threading.Thread(target=self._follow, args=(pod, after, arrivals), daemon=True).start()
            try:
                line = arrivals.get(timeout=0.1)
                heapq.heappush(waiting, (line.time, time.monotonic(), line))
            except Empty:
                pass
            while waiting and time.monotonic() - waiting[0][1] > _PATIENCE:
                yield heapq.heappop(waiting)[2]

    def _pods(self) -> list[Object]:
        services = self.params["services"]
        found = self._cluster.items(POD, self.session.namespace, **{STACK: self.session.stack})
        return [
            p for p in found
            if (not services or p["metadata"]["labels"].get(SERVICE) in services)
            and (not self.nodes or p["spec"].get("nodeName") in self.nodes)
        ]  # fmt: skip

    def _of(self, pod: Object) -> Iterator[PodLine]:
        restarted = any(c.get("restartCount") for c in pod.get("status", {}).get("containerStatuses", []))
        for previous in [True, False] if restarted else [False]:
            yield from self._lines(pod, previous=previous)

    def _lines(
        self, pod: Object, *, previous: bool = False, follow: bool = False, after: str = ""
    ) -> Iterator[PodLine]:
        if not _talks(pod):
            return
        name = pod["metadata"]["name"]
        query: dict[str, Any] = {"timestamps": "true", "container": pod["spec"]["containers"][0]["name"]}
        query |= {"previous": "true"} if previous else {}
        query |= {"follow": "true"} if follow else {}
        begin = after or self._since
        if begin:
            query["sinceTime"] = begin[:19] + "Z"
        if self._wanted.everything and self.params["tail"] is not None and not follow:
            query["tailLines"] = self.params["tail"]
        path = f"{POD.path(self.session.namespace, name)}/log"
        try:
            for line in self._cluster.stream(path, **query):
                stamp, _, text = line.partition(" ")
                at = full(stamp)
                if at > after and self._wanted.wants((at, "stdout", text)):
                    yield PodLine(at, pod["spec"].get("nodeName", ""), "stdout", text, _source(pod))
        except SlipwayError as error:
            if not previous and not follow:
                self.lost.append(f"{name}: {' '.join((error.seen or error.what).split())}")
        except OSError:
            return

    def _follow(self, pod: Object, after: str, arrivals: Queue[PodLine]) -> None:
        for line in self._lines(pod, follow=True, after=after):
            arrivals.put(line)


def _run_of(pod: Object) -> tuple[str, int]:
    """Return which run of which pod this is: what is followed ends with its container."""
    restarts = sum(c.get("restartCount", 0) for c in pod.get("status", {}).get("containerStatuses", []))
    return str(pod["metadata"]["uid"]), restarts


def _talks(pod: Object) -> bool:
    states = [c.get("state", {}) for c in pod.get("status", {}).get("containerStatuses", [])]
    return any("running" in s or "terminated" in s for s in states) or any(
        c.get("restartCount") for c in pod.get("status", {}).get("containerStatuses", [])
    )


def _source(pod: Object) -> dict[str, str]:
    labels = pod["metadata"]["labels"]
    return {
        "service": labels.get(SERVICE, ""),
        "release": labels.get(RELEASE, ""),
        "container": pod["metadata"]["name"],
    }
