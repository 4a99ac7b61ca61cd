"""What a host is given: the Compose file of a release and of the accessories. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slipway.settings import interpolate, scalars
from slipway.settings.model import MOST_REPLICAS, Environment, Service, Stack, StackEntry

_NOT_COMPOSE = {"build", "container_name"}


def network(stack: str) -> str:
    """Return the name of the network that a stack's releases, accessories and the router share."""
    return f"slipway-{stack}"


def version_room(stack: Stack) -> int:
    """Return how many letters of its version a release's id may have.

    The router looks containers up by name, `<stack>-<version>-<6 hex>-<service>-<number>`, and DNS takes 63 letters. The limits of
    names in `slipway.settings.patterns` leave 11 letters at least: a revision's ten.
    """
    longest = max(len(s.name) for s in stack.services if s.role != "accessory")
    return min(40, 63 - len(stack.name) - longest - len(f"---{'0' * 6}-{MOST_REPLICAS}"))


def replicas(service: Service, entry: StackEntry) -> int:
    """Return how many containers of a service run on each host."""
    return entry.replicas.get(service.name, service.replicas)


def readers(service: Service) -> list[str]:
    """Return the user ids that read a service's secret files (root where the image starts as root)."""
    user = str(service.compose.get("user", "0")).partition(":")[0]
    return sorted({user, "0"})


def _common(service: Service) -> dict[str, Any]:
    section = {k: v for k, v in service.compose.items() if k not in _NOT_COMPOSE}
    if service.role != "job":
        section.setdefault("restart", "unless-stopped")
    return section


def _top(stack: Stack, services: Mapping[str, Any], networks: Mapping[str, Any]) -> dict[str, Any]:
    used = {name for s in services.values() for name in secret_names(s)}
    top: dict[str, Any] = {"services": dict(services), "networks": dict(networks)}
    if used:
        top["secrets"] = {name: {"file": f"./secrets/{name}"} for name in sorted(used)}
    volumes = {v for s in services.values() for v in _volume_names(s) if v in stack.volumes}
    if volumes:
        top["volumes"] = {v: {"name": f"slipway-{stack.name}-{v}", "external": True} for v in sorted(volumes)}
    return top


def secret_names(section: Mapping[str, Any]) -> list[str]:
    """Return the names of the secrets of a service's section."""
    return [s if isinstance(s, str) else s["source"] for s in section.get("secrets", [])]


def _volume_names(section: Mapping[str, Any]) -> list[str]:
    volumes = section.get("volumes", [])
    return [v.partition(":")[0] if isinstance(v, str) else str(v.get("source", "")) for v in volumes]


def volumes(document: Mapping[str, Any]) -> list[str]:
    """Return the names of the volumes that a rendered file needs."""
    return [v["name"] for v in document.get("volumes", {}).values()]


def app_content(env: Environment, entry: StackEntry, stack: Stack, images: Mapping[str, str]) -> dict[str, Any]:
    """Return the Compose document of a release but for its id, so that the id can be made of it.

    Args:
        env: the environment.
        entry: what it says of the stack.
        stack: the stack.
        images: image by digest for each app and job service.
    """
    services = {}
    for service in (*stack.of_role("app"), *stack.of_role("job")):
        section = _common(service)
        section["image"] = images[service.name]
        section["deploy"] = {**section.get("deploy", {}), "replicas": replicas(service, entry)}
        section["networks"] = {"default": {}, "stack": {}}
        hosts = remote_accessories(env, stack)
        services[service.name] = section
        if hosts:
            services[service.name]["x-accessory-hosts"] = hosts
    return _top(stack, services, {"default": {}, "stack": {"name": network(stack.name), "external": True}})


def remote_accessories(env: Environment, stack: Stack) -> dict[str, str]:
    """Return where other hosts find each accessory: they run on the environment's first host."""
    if len(env.hosts) < 2:
        return {}
    first = env.hosts[0]
    return {s.name: first.private_address or first.address for s in stack.of_role("accessory")}


def app_document(
    content: Mapping[str, Any], stack: Stack, release: str, version: str, first_host: bool
) -> dict[str, Any]:
    """Return the Compose document of a release as a host gets it: with its id, and where the accessories are."""
    document: dict[str, Any] = json.loads(json.dumps(content))
    # Docker asks a container's networks for a name in the order of the networks' names. This one sorts before the shared one,
    # so that a release's services find each other, and never those of another release.
    document["networks"]["default"] = {"name": f"release-{stack.name}-{release}"}
    for name, section in document["services"].items():
        section["environment"] = {
            **section.get("environment", {}),
            "SLIPWAY_RELEASE": release,
            "SLIPWAY_VERSION": version,
        }
        section["labels"] = _labels(section, stack.name, stack.service(name), release)
        remote = section.pop("x-accessory-hosts", {})
        if remote and not first_host:
            section["extra_hosts"] = _hosts(section.get("extra_hosts", {}), remote)
        if stack.service(name).role == "job":
            section["profiles"] = ["job"]
    return document


def _hosts(own: Any, remote: Mapping[str, str]) -> Any:
    """Return `extra_hosts:` with more of them, in the form that it has: a mapping, or a list of `name:address`."""
    if isinstance(own, list):
        return [*own, *(f"{name}:{address}" for name, address in remote.items())]
    return {**own, **remote}


def _labels(section: Mapping[str, Any], stack: str, service: Service, release: str = "") -> dict[str, str]:
    """Return a section's own labels with those that tell whose a container is."""
    ours = {"slipway.stack": stack, "slipway.service": service.name, "slipway.role": service.role}
    return {**section.get("labels", {}), **ours, **({"slipway.release": release} if release else {})}


def accessory_document(env: Environment, stack: Stack) -> dict[str, Any]:
    """Return the Compose document of a stack's accessories."""
    services = {}
    for service in stack.of_role("accessory"):
        section = _common(service)
        section["image"] = service.image
        section["networks"] = {"stack": {}}
        section["labels"] = _labels(section, stack.name, service)
        if len(env.hosts) > 1:
            address = env.hosts[0].private_address or env.hosts[0].address
            opened = [f"{address}:{port}:{port}" for port in section.get("expose", [])]
            section["ports"] = [*section.get("ports", []), *opened]
        services[service.name] = section
    return _top(stack, services, {"stack": {"name": network(stack.name), "external": True}})


def gate_of(service: Service, entry: StackEntry) -> dict[str, Any]:
    """Return what the health gate needs to know of a service."""
    ready = service.health.ready if service.health and service.route else None
    within = service.health.start_within if service.health else 60.0
    return {
        "name": service.name,
        "replicas": 1 if service.role == "accessory" else replicas(service, entry),
        "start_within": within,
        "port": service.route.port if service.route else 0,
        "ready": ready,
    }


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return a document as YAML."""
    # A `$` is a variable to Compose; ours have been put in already.
    return scalars.dump(interpolate.escape(document))
