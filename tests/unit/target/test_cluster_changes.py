"""Waiting for changes in a namespace: at once where the API server tells, soon where it does not."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from slipway.errors import SlipwayError
from slipway.settings.model import Kubernetes
from slipway.target.kubernetes.changes import Changes
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.kinds import KINDS, POD


class Told(Cluster):
    """A cluster that tells what a test puts into a queue."""

    def __init__(self) -> None:
        super().__init__(Kubernetes(context="here"))
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.over = threading.Event()

    def stream(self, path: str, **query: Any) -> Iterator[str]:
        assert query["watch"] == "true"
        if path.endswith("deployments"):
            yield "ADDED"
            self.over.wait(30)
            return
        while line := self.lines.get():
            yield line


class Mute(Cluster):
    """A cluster that does not let this user watch."""

    def stream(self, path: str, **_: Any) -> Iterator[str]:
        raise SlipwayError(f"you may not watch {path}")
        yield ""


def waited(changes: Changes) -> float:
    began = time.monotonic()
    changes.wait()
    return time.monotonic() - began


def test_a_change_ends_the_wait_at_once() -> None:
    cluster = Told()
    with Changes(cluster, "space", (KINDS["Deployment"], POD)) as changes:
        cluster.lines.put("ADDED")
        time.sleep(0.3)
        changes.wait()  # what there was to begin with
        assert waited(changes) > 0.8, "nothing changed"
        cluster.lines.put("MODIFIED")
        assert waited(changes) < 0.5
    cluster.over.set()
    cluster.lines.put("")


def test_where_nobody_tells_one_looks_four_times_a_second() -> None:
    with Changes(Mute(Kubernetes(context="here")), "space", (POD,)) as changes:
        assert 0.2 < waited(changes) < 0.8
