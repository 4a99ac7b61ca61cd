"""A deployed release on a cluster: its pods and what they may do, their secrets, where requests go."""

from __future__ import annotations

from typing import Any

import pytest


def ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def test_all_pods_of_a_service_are_ready(api: Any, facts: dict[str, Any], service: str) -> None:
    (deployment,) = api.of("Deployment", slipway_service=service, slipway_release=facts["release"])
    pods = api.of("Pod", slipway_service=service, slipway_release=facts["release"])
    up = [p["metadata"]["name"] for p in pods if ready(p)]
    assert len(up) >= deployment["spec"]["replicas"], f"{len(up)} of {deployment['spec']['replicas']} are ready"


def test_the_image_is_the_digest_that_was_deployed(api: Any, facts: dict[str, Any], service: str) -> None:
    wanted = facts["services"][service]["digest"]
    for pod in api.of("Pod", slipway_service=service, slipway_release=facts["release"]):
        (status,) = pod["status"]["containerStatuses"]
        assert wanted in status["imageID"], f"{pod['metadata']['name']} runs {status['imageID']}, not {wanted}"


def test_accessories_are_ready(api: Any, accessory: str) -> None:
    pods = api.of("Pod", slipway_service=accessory)
    assert pods, f"{accessory} does not run"
    assert all(ready(p) for p in pods), f"{accessory} is not ready"


def test_requests_go_to_the_release_alone(api: Any, facts: dict[str, Any], routed: str) -> None:
    releases = {
        p["metadata"]["name"]: p["metadata"]["labels"]["slipway.release"] for p in api.of("Pod", slipway_service=routed)
    }
    found = [
        releases.get(e["targetRef"]["name"], "a pod that is gone")
        for s in api.of("EndpointSlice")
        if s["metadata"]["labels"].get("kubernetes.io/service-name") == routed
        for e in s.get("endpoints") or []
        if e["conditions"].get("ready")
    ]
    assert found, f"the Service {routed} has no endpoint that is ready"
    assert set(found) == {facts["release"]}, f"requests for {routed} go to {', '.join(sorted(set(found)))}"


def test_it_runs_as_nobody_in_particular(inside: dict[str, dict[str, str]], service: str) -> None:
    assert inside[service], f"no pod of {service} runs"
    assert "error" not in inside[service], inside[service]["error"]
    assert inside[service]["uid"] != "0", f"{service} runs as root"


def test_its_root_can_not_be_written(inside: dict[str, dict[str, str]], facts: dict[str, Any], service: str) -> None:
    if not facts["services"][service]["read_only"]:
        pytest.skip("its manifest says that it may")
    assert "writable" not in inside[service], f"{service} can write its root"


def test_secrets_are_files_that_others_can_not_read(
    inside: dict[str, dict[str, str]], facts: dict[str, Any], service: str
) -> None:
    for name in facts["services"][service]["secrets"]:
        mode = inside[service].get(f"secret/{name}", "")
        assert mode.isdigit(), f"{service} has no /run/secrets/{name}: {mode}"
        assert not int(mode, 8) & 0o007, f"/run/secrets/{name} has mode {mode}"


def test_no_token_of_the_cluster_is_in_a_pod(inside: dict[str, dict[str, str]], service: str) -> None:
    assert "token" not in inside[service], f"{service} can talk to the cluster"
