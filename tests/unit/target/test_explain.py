"""Why pods do not get ready, from what the API server says of them."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.target.kubernetes import explain


def pod(state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    status = {"name": "web", "image": "r/web", "state": state or {"running": {}}, "ready": False, **more}
    return {"status": {"phase": "Running", "containerStatuses": [status]}}


def event(reason: str, message: str, kind: str = "Warning") -> dict[str, Any]:
    return {"reason": reason, "message": message, "type": kind}


UNHEALTHY = event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
PULL = event("Failed", 'Failed to pull image "r/web": not found')
ENDED = {"terminated": {"exitCode": 1}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


@pytest.mark.parametrize(
    ("found", "events", "words", "final"),
    [
        (pod({"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}}), [], "can't be pulled: i/o timeout", False),
        (pod({"waiting": {"reason": "ErrImagePull", "message": "r/web: not found"}}), [], "not found", True),
        (pod({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}), [PULL], "Failed to pull image", True),
        (pod({"waiting": {"reason": "CreateContainerError", "message": "no such volume"}}), [], "no such volume", True),
        (pod({"terminated": {"exitCode": 3}}), [], "ended with exit code 3", True),
        (pod({"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ENDED, restartCount=2), [], "exit code 1", True),
        (pod({"running": {}}, lastState=OOM, restartCount=1), [], "more memory than its limit", True),
        (pod(), [UNHEALTHY], "statuscode: 503", False),
    ],
)  # fmt: skip
def test_containers(found: dict[str, Any], events: list[dict[str, Any]], words: str, final: bool) -> None:
    told = explain.trouble(found, events)
    assert told is not None
    assert words in told.words
    assert told.final == final


def test_no_node() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available: 3 Insufficient cpu."}
    told = explain.trouble({"status": {"phase": "Pending", "conditions": [condition]}})
    assert told is not None
    assert told.words == "no node takes it: 0/3 nodes are available: 3 Insufficient cpu."
    assert not told.final, "a cluster may get one more"


def test_nothing_is_wrong_with_one_that_starts() -> None:
    assert explain.trouble(pod()) is None
    assert explain.trouble(pod({"waiting": {"reason": "ContainerCreating"}})) is None
    assert explain.trouble({"status": {"phase": "Pending"}}) is None


def test_pods_that_can_not_be_made() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}
    assert explain.refused({"status": {"conditions": [condition]}}) == "exceeded quota: small"
    assert explain.refused({"status": {"conditions": []}}) is None
