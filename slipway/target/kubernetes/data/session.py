"""A conversation with the agent in a pod of a stack's data, by `kubectl exec`: the same one as with a host's over SSH."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from slipway import report
from slipway.errors import SlipwayError
from slipway.target.conversation import SILENCE, Conversation
from slipway.target.kubernetes import explain, kubectl
from slipway.target.kubernetes.applying import applied
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.data import pods, setup
from slipway.target.kubernetes.data.setup import Setup
from slipway.target.kubernetes.kinds import EVENT, KINDS, POD, Manifest
from slipway.target.kubernetes.workplace import Place, connected

_STARTS_WITHIN = 600.0
_NO_NODE_WITHIN = 60.0


class PodSession(Conversation):
    """A conversation with the agent in a pod. Use as a context manager."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str) -> None:
        super().__init__(f"pod {pod}")
        argv = ["exec", "--namespace", namespace, "--stdin", pod, "--container", pods.AGENT, "--"]
        argv += ["python3", "-u", "/agent/agent.pyz", "come"]
        self._argv = [kubectl.program(), *kubectl.flags(cluster.settings), *argv]
        self._process: subprocess.Popen[bytes] | None = None
        self._waits_since: float | None = None

    def __enter__(self) -> PodSession:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **kubectl.SPDY}, start_new_session=True,
        )  # fmt: skip
        self._output, self._errors = _Lines(self._process.stdout, self._waits), self._process.stderr
        try:
            self._read()  # `ready`
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._ping, daemon=True).start()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session: the agent sees the end of its input and leaves, and its pod ends."""
        self._closed.set()
        if self._process:
            with contextlib.suppress(OSError):
                assert self._process.stdin  # noqa: S101 - a pipe
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process.kill()
            self._process.wait()

    def _waits(self, for_a_line: bool) -> None:
        self._waits_since = time.monotonic() if for_a_line else None

    def _watch(self) -> None:
        """End a connection that says nothing any more: a pipe has no time limit of its own."""
        while not self._closed.wait(1.0):
            since = self._waits_since
            if since is not None and time.monotonic() - since > SILENCE and self._process:
                self._process.kill()
                return

    def _send_raw(self, data: bytes) -> None:
        with self._lock:
            assert self._process and self._process.stdin  # noqa: S101 - it was opened
            try:
                self._process.stdin.write(data)
                self._process.stdin.flush()
            except ValueError as error:  # it was closed
                raise EOFError(str(error)) from error


class _Lines:
    """Lines of a pipe; tells when one is waited for, and when it came."""

    def __init__(self, stream: Any, waits: Callable[[bool], None]) -> None:
        self._stream, self._waits = stream, waits

    def readline(self) -> str:
        """Return the next line, "" at the end."""
        self._waits(True)
        line: bytes = self._stream.readline()
        self._waits(False)
        return line.decode(errors="replace")


@contextlib.contextmanager
def opened(place: Place, task: str, *, write: bool = False) -> Iterator[PodSession]:
    """Connect to the cluster and open a session with an agent there (see `on`)."""
    with connected(place) as session:
        found = setup.of(place, session.facts())
        setup.ensure(session.cluster, found)
        with on(session.cluster, found, task, write=write) as talking:
            yield talking


@contextlib.contextmanager
def on(cluster: Cluster, found: Setup, task: str, *, write: bool = False) -> Iterator[PodSession]:
    """Start a pod with the agent in it, and open a session; both end with the block, and the pod with this process as well.

    Args:
        cluster: where.
        found: what the pod is made of.
        task: what it is for, in a word.
        write: volumes are written.

    Raises:
        SlipwayError: it does not start, with why.
    """
    place = found.place
    name = f"slipway-{task}-{secrets.token_hex(3)}"
    manifest = pods.job(place.namespace, place.stack.name, name, task, found.spec(["hold"], write=write))
    path = KINDS["Job"].path(place.namespace, name)
    with report.step("Start a pod") as step:
        applied(cluster, manifest)
        try:
            pod = _await(cluster, place.namespace, name, step.say)
        except BaseException:
            cluster.delete(path)
            raise
        step.done(pod)
    try:
        with PodSession(cluster, place.namespace, pod) as session:
            yield session
    finally:
        with contextlib.suppress(SlipwayError):  # where not, it goes by itself
            cluster.delete(path)


def _await(cluster: Cluster, namespace: str, job: str, say: Callable[[str], None]) -> str:
    """Return the name of a Job's pod once its containers run. Raises SlipwayError where they do not."""
    began = time.monotonic()
    while True:
        age = time.monotonic() - began
        found = cluster.items(POD, namespace, **{"batch.kubernetes.io/job-name": job})
        for pod in found:
            name, status = pod["metadata"]["name"], pod.get("status", {})
            if (
                all("running" in c.get("state", {}) for c in status.get("containerStatuses", []))
                and status.get("phase") == "Running"
            ):
                return str(name)
            trouble = explain.trouble(pod) or explain.trouble(_first(pod))
            late = age > (_NO_NODE_WITHIN if trouble and trouble.homeless else _STARTS_WITHIN)
            if late or (trouble and trouble.final) or status.get("phase") in ("Failed", "Succeeded"):
                said = (
                    cluster.logs(namespace, name, lines=10, container=trouble.container)
                    if trouble and trouble.container
                    else ""
                )
                seen = "\n".join(w for w in (trouble.words if trouble else str(status.get("phase")), said) if w)
                raise SlipwayError("the pod for the data does not start", where=f"pod {name}", seen=seen)
            say(trouble.words if trouble else "waiting for its containers")
        if not found and age > 3.0:
            _refuse_unmade(cluster, namespace, job, age)
        time.sleep(0.2)


def _first(pod: Manifest) -> Manifest:
    """Return a pod as if its first containers were all that it has."""
    status = pod.get("status", {})
    waiting = [
        c
        for c in status.get("initContainerStatuses", [])
        if (c.get("state", {}).get("terminated") or {}).get("exitCode") != 0
    ]
    return {"status": {"containerStatuses": waiting}}


def _refuse_unmade(cluster: Cluster, namespace: str, job: str, age: float) -> None:
    """Raise SlipwayError where a Job's pod can't be made: a quota, Pod Security."""
    events = cluster.get(EVENT.path(namespace), fieldSelector=f"involvedObject.name={job}")["items"]
    why = next((str(e.get("message", "")) for e in events if e.get("reason") == "FailedCreate"), "")
    if why or age > _NO_NODE_WITHIN:
        raise SlipwayError("the pod for the data can't be made", where=f"job {job}", seen=why)
