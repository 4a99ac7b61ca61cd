"""What every overlay of this repository keeps to; `inv scan` judges each file by itself (slipway.scan.podpolicy)."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from slipway.scan import podpolicy
from tests.manifests.test_schemas import applied

Manifests = list[dict[str, Any]]


@pytest.fixture(params=[False, True], ids=["rolling", "blue-green"])
def found(request: pytest.FixtureRequest, overlay: Manifests) -> Manifests:
    """What is applied of an overlay."""
    return applied(overlay, request.param)


def of(found: Manifests, *kinds: str) -> Manifests:
    return [m for m in found if m["kind"] in kinds]


def labels(workload: dict[str, Any]) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def selects(selector: dict[str, Any], workload: dict[str, Any]) -> bool:
    return selector.get("matchLabels", {}).items() <= labels(workload).items()


def test_pods_can_do_little(tmp_path: Any, found: Manifests) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("---\n".join(yaml.safe_dump(m) for m in found if m["kind"] != "Secret"))
    assert [f"{f.rule}: {f.message}" for f in podpolicy.scan(tmp_path, "all.yaml")] == []


def test_the_namespace_enforces_it(found: Manifests) -> None:
    (space,) = of(found, "Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_images_are_pinned(found: Manifests) -> None:
    for one in of(found, "Deployment"):
        for container in one["spec"]["template"]["spec"]["containers"]:
            assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"]), container["image"]
    for one in of(found, "StatefulSet"):
        for container in one["spec"]["template"]["spec"]["containers"]:
            assert re.search(r":[0-9]", container["image"]), container["image"]


def test_every_pod_says_what_it_needs_and_starts_by_a_probe(found: Manifests) -> None:
    for one in of(found, "Deployment", "StatefulSet"):
        for container in one["spec"]["template"]["spec"]["containers"]:
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_a_deployment_never_has_fewer_pods_than_it_should(found: Manifests) -> None:
    for one in of(found, "Deployment"):
        assert one["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        (budget,) = [b for b in of(found, "PodDisruptionBudget") if selects(b["spec"]["selector"], one)]
        assert budget["spec"]["maxUnavailable"] == 1
        (spread,) = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert selects(spread["labelSelector"], one)


def test_how_many_there_are_is_said_once(found: Manifests) -> None:
    scaled = {m["spec"]["scaleTargetRef"]["name"] for m in of(found, "HorizontalPodAutoscaler")}
    for one in of(found, "Deployment"):
        assert ("replicas" in one["spec"]) != (one["metadata"]["name"] in scaled)
    assert scaled <= {m["metadata"]["name"] for m in of(found, "Deployment")}


def test_nobody_talks_to_anybody_unless_it_is_said(found: Manifests) -> None:
    policies = of(found, "NetworkPolicy")
    everyone = [p for p in policies if p["spec"]["podSelector"] == {} and "ingress" not in p["spec"]]
    assert any(set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"} and "egress" not in p["spec"] for p in everyone)
    for one in of(found, "Deployment", "StatefulSet"):
        assert [p for p in policies if p["spec"]["podSelector"] and selects(p["spec"]["podSelector"], one)]


def test_pods_have_accounts_of_their_own_without_tokens(found: Manifests) -> None:
    accounts = {m["metadata"]["name"]: m for m in of(found, "ServiceAccount")}
    for one in of(found, "Deployment", "StatefulSet"):
        pod = one["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] in accounts
        assert not pod["automountServiceAccountToken"]


def test_services_find_pods(found: Manifests) -> None:
    for service in of(found, "Service"):
        matched = [
            w
            for w in of(found, "Deployment", "StatefulSet")
            if service["spec"]["selector"].items() <= labels(w).items()
        ]
        assert len(matched) == 1, service["metadata"]["name"]


def test_secrets_and_settings_that_pods_read_are_there(found: Manifests) -> None:
    there = {(m["kind"], m["metadata"]["name"]) for m in found}
    for one in of(found, "Deployment", "StatefulSet"):
        pod = one["spec"]["template"]["spec"]
        named = {("Secret", v["secret"]["secretName"]) for v in pod["volumes"] if "secret" in v}
        named |= {("ConfigMap", e["configMapRef"]["name"]) for c in pod["containers"] for e in c["envFrom"]}
        assert named <= there
