"""compose/fineasy and k8s/fineasy say the same: services, images, settings, ports, health, limits, secrets, commands."""

from __future__ import annotations

import re
from typing import Any

import pytest

from slipway.settings import load, units
from slipway.settings.model import Service, Stack
from tests.support import quickyaml

BASE = load.root() / "k8s/fineasy/base"


@pytest.fixture(scope="module")
def found() -> Stack:
    return load.stack(load.environment("staging"), "fineasy")


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    files = quickyaml.load((BASE / "kustomization.yaml").read_text())["resources"]
    return [m for name in files for m in quickyaml.load_all((BASE / name).read_text())]


def of(manifests: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))


def workload(manifests: list[dict[str, Any]], service: Service) -> dict[str, Any]:
    return of(manifests, "Deployment" if service.role == "app" else "StatefulSet", service.name)


def pod(manifests: list[dict[str, Any]], service: Service) -> dict[str, Any]:
    found: dict[str, Any] = workload(manifests, service)["spec"]["template"]["spec"]
    return found


def container(manifests: list[dict[str, Any]], service: Service) -> dict[str, Any]:
    (only,) = pod(manifests, service)["containers"]
    assert only["name"] == service.name
    return dict(only)


def size(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([KMG]?)i?b?", text, re.I).groups()  # type: ignore[union-attr]
    return int(number) * 1024 ** " KMG".index(unit.upper() or " ")


def test_the_services(found: Stack, manifests: list[dict[str, Any]]) -> None:
    apps = {m["metadata"]["name"] for m in manifests if m["kind"] == "Deployment"}
    data = {m["metadata"]["name"] for m in manifests if m["kind"] == "StatefulSet"}
    assert apps == {s.name for s in found.of_role("app")}
    assert data == {s.name for s in found.of_role("accessory")}


def test_images(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        wanted = service.image or f"fineasy/{service.name}:release"
        assert container(manifests, service)["image"] == wanted


def test_commands(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        args = container(manifests, service).get("args", [])
        own = service.compose.get("command", [])
        assert [a.strip() for a in args] == [str(a).strip() for a in own], service.name
        assert "command" not in container(manifests, service), "the image's entry point is kept"


def test_settings_come_from_the_stack_file(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        sources = container(manifests, service)["envFrom"]
        assert sources == [{"configMapRef": {"name": f"{service.name}-settings"}}]
        own = {e["name"] for e in container(manifests, service).get("env", [])}
        assert own <= {"PGDATA"}, "what Compose sets comes from there"


def test_users(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.of_role("app"):
        user, _, group = service.compose["user"].partition(":")
        context = pod(manifests, service)["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))


def test_memory(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        limit = container(manifests, service)["resources"]["limits"]["memory"]
        assert size(limit) == size(service.compose["deploy"]["resources"]["limits"]["memory"]), service.name


def test_replicas(found: Stack, manifests: list[dict[str, Any]]) -> None:
    scaled = {
        m["metadata"]["name"]: m["spec"]["minReplicas"] for m in manifests if m["kind"] == "HorizontalPodAutoscaler"
    }
    own = load.stack(load.environment("local"), "fineasy")
    for service in own.of_role("app"):
        assert scaled.get(service.name, workload(manifests, service)["spec"].get("replicas")) == service.replicas
        assert (service.name in scaled) != ("replicas" in workload(manifests, service)["spec"])


def test_ports_and_routes(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        ports = [p["containerPort"] for p in container(manifests, service).get("ports", [])]
        wanted = [service.route.port] if service.route else [int(p) for p in service.compose.get("expose", [])]
        assert ports == wanted, service.name
        if wanted:
            (port,) = of(manifests, "Service", service.name)["spec"]["ports"]
            assert port["port"] == wanted[0]
        if service.route:
            (rule,) = of(manifests, "Ingress", service.name)["spec"]["rules"]
            assert [p["path"] for p in rule["http"]["paths"]] == [service.route.path]


def test_health(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        one = container(manifests, service)
        if service.health:
            paths = {p: one[p]["httpGet"]["path"] for p in ("startupProbe", "readinessProbe", "livenessProbe")}
            ready, live = service.health.ready, service.health.live
            assert paths == {"startupProbe": ready, "readinessProbe": ready, "livenessProbe": live}
            start = one["startupProbe"]
            assert start["periodSeconds"] * start["failureThreshold"] == service.health.start_within
        else:
            kind, *test = service.compose["healthcheck"]["test"]
            wanted = test if kind == "CMD" else ["sh", "-c", *test]
            assert one["readinessProbe"]["exec"]["command"] == wanted, service.name
            assert one["startupProbe"]["exec"] == one["livenessProbe"]["exec"] == one["readinessProbe"]["exec"]


def test_time_to_end(found: Stack, manifests: list[dict[str, Any]]) -> None:
    """A routed service may go on answering for as long as it may drain, any other for as long as Compose gives it."""
    for service in found.services:
        grace = pod(manifests, service)["terminationGracePeriodSeconds"]
        own = units.parse_duration(service.compose["stop_grace_period"])
        assert grace >= (service.drain if service.route else own), service.name
        assert bool(service.route) == ("preStop" in container(manifests, service).get("lifecycle", {}))


def test_secrets(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.services:
        volumes = [v["secret"] for v in pod(manifests, service)["volumes"] if "secret" in v]
        assert [v["secretName"] for v in volumes] == ["secrets"]
        assert {i["key"]: i["path"] for v in volumes for i in v["items"]} == {n: n for n in service.secrets}
        mounts = {m["name"]: m["mountPath"] for m in container(manifests, service)["volumeMounts"]}
        assert mounts["secrets"] == "/run/secrets"


def test_data_lies_where_compose_has_it(found: Stack, manifests: list[dict[str, Any]]) -> None:
    for service in found.of_role("accessory"):
        (volume,) = service.compose["volumes"]
        mounts = {m["name"]: m["mountPath"] for m in container(manifests, service)["volumeMounts"]}
        assert mounts["data"] == volume.split(":")[1]
        (claim,) = workload(manifests, service)["spec"]["volumeClaimTemplates"]
        assert claim["metadata"]["name"] == "data"
