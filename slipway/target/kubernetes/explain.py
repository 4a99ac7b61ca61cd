"""Why a pod does not get ready, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

_NEVER = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
_KILLED = 137
"""128 + SIGKILL. Where not the container's first process needed too much memory, its node may not say OOMKilled."""
_ABSENT = ("not found", "manifest unknown", "does not exist", "unauthorized", "authentication required", "denied")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a pod.

    Args:
        words: what was seen.
        final: it will not get better by waiting.
        container: whose last lines tell more ("" for none).
        previous: they are those of its run before.
        homeless: no node takes it, which a cluster may mend by itself.
    """

    words: str
    final: bool = False
    container: str = ""
    previous: bool = False
    homeless: bool = False


def trouble(pod: Object, events: Sequence[Object] = ()) -> Trouble | None:
    """Return what keeps a pod from being ready, None where nothing is seen.

    Args:
        pod: the pod.
        events: the cluster's events of it, for what its probes were answered.
    """
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        found = _container(container, events)
        if found:
            return found
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble(f"no node takes it: {condition.get('message', condition.get('reason', ''))}", homeless=True)
    if status.get("phase") == "Failed":
        return Trouble(f"it failed: {status.get('reason', '')} {status.get('message', '')}".strip(), final=True)
    for event in reversed(events):
        if event.get("type") == "Warning" and event.get("reason") in (
            "FailedMount",
            "FailedCreatePodSandBox",
            "FailedAttachVolume",
        ):
            return Trouble(f"{event['reason']}: {event.get('message', '')}")
    return None


def _container(container: Mapping[str, Any], events: Sequence[Object]) -> Trouble | None:
    name = str(container["name"])
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        told = _pull_event(events) or message
        absent = any(word in told.lower() for word in _ABSENT)
        return Trouble(
            f"its image can't be pulled: {told or container.get('image')}", final=absent or reason == "ImagePullBackOff"
        )
    if reason in _NEVER:
        return Trouble(f"{reason}: {message}", final=True)
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if ended and (state.get("terminated") or container.get("restartCount", 0)):
        previous = not state.get("terminated")
        if ended.get("reason") == "OOMKilled":
            return Trouble("it needed more memory than its limit (OOMKilled)", True, name, previous)
        probe = _probe(events, "Startup probe failed") or _probe(events, "Liveness probe failed")
        words = f"its container ended with exit code {ended.get('exitCode')}"
        if ended.get("exitCode") == _KILLED and not probe:
            words += ": it was killed, by its limit of memory or from outside"
        return Trouble(f"{words}; {probe}" if probe else words, True, name, previous)
    if "running" in state and not container.get("ready"):
        probe = _probe(events, "Readiness probe failed") or _probe(events, "Startup probe failed")
        if probe:
            return Trouble(probe, False, name)
    return None


def _pull_event(events: Sequence[Object]) -> str:
    for event in reversed(events):
        if event.get("reason") == "Failed" and "pull image" in event.get("message", ""):
            return str(event["message"])
    return ""


def _probe(events: Sequence[Object], begins: str) -> str:
    for event in reversed(events):
        message = str(event.get("message", ""))
        if event.get("reason") == "Unhealthy" and message.startswith(begins):
            return " ".join(message.split())
    return ""


def refused(deployment: Object) -> str | None:
    """Return why pods of a Deployment can't even be made: a quota, Pod Security, an admission webhook."""
    for condition in deployment.get("status", {}).get("conditions", []):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return str(condition.get("message", condition.get("reason", "")))
    return None
