"""What a plan is made from: settings, secrets, and what the hosts say. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from slipway.plan.operation import Operation
from slipway.settings.model import Environment, Service, Stack, StackEntry
from slipway.target.compose import render
from slipway.target.compose.facts import HostFacts
from slipway.target.release import release_id

ROUTER_IMAGE = "haproxy:3.0"


@dataclass(frozen=True)
class Release:
    """A release to be: its id, and what it is made of."""

    id: str
    version: str
    images: Mapping[str, str]
    content: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """All that a plan is made from.

    Args:
        env: the environment.
        entry: what it says of the stack.
        stack: the stack.
        facts: by host name.
        secrets: values by name.
        challenge: the word with which the facts' secrets are keyed.
        auth: the registry's credentials for pulling.
        by: who deploys, from where.
        migrations: names of the stack's migrations; empty where the version is not this tree's.
        contracting: those of them that contract: a deploy leaves them.
        cut: end old releases' open requests now, where there are too many.
        backup: what tells the first host what to keep; None where nothing is kept, or its secrets are not known here.
    """

    env: Environment
    entry: StackEntry
    stack: Stack
    facts: Mapping[str, HostFacts]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    challenge: str = ""
    auth: Mapping[str, str] | None = field(default=None, repr=False)
    by: str = ""
    migrations: tuple[str, ...] = ()
    contracting: tuple[str, ...] = ()
    cut: bool = False
    backup: Operation | None = field(default=None, repr=False)

    @property
    def first(self) -> str:
        """The host that accessories and jobs run on, and that holds the lease."""
        return self.env.hosts[0].name

    @property
    def hosts(self) -> list[str]:
        """The hosts' names."""
        return [h.name for h in self.env.hosts]


def make_release(request: Request, version: str, images: Mapping[str, str]) -> Release:
    """Return the release that these images, settings and secrets make."""
    content = render.app_content(request.env, request.entry, request.stack, images)
    used = {n: request.secrets[n] for s in request.stack.services if s.role != "accessory" for n in s.secrets}
    return Release(release_id(version, content, used, render.version_room(request.stack)), version, images, content)


def meta(request: Request, release: Release) -> dict[str, Any]:
    """Return what a host records of a release: enough to bring it back without this checkout."""
    services = {
        s.name: {**render.gate_of(s, request.entry), "role": s.role, "phase": s.phase, "routed": bool(s.route)}
        for s in request.stack.services
        if s.role != "accessory"
    }
    return {
        "id": release.id,
        "version": release.version,
        "images": dict(release.images),
        "content": release.content,
        "services": services,
        "router": {
            "stack": request.stack.name,
            "port": request.entry.port,
            "domain": request.entry.domain,
            "routes": [_route(s) for s in request.stack.of_role("app") if s.route],
        },
        "smoke": [s.model_dump(by_alias=True) for s in request.stack.smoke],
        "drain": drain_limit(request.stack),
        "migrations": list(request.migrations),
        "by": request.by,
    }


def drain_limit(stack: Stack) -> float:
    """Return how many seconds open requests may go on after a switch: the longest of the services that get any."""
    return max([s.drain for s in stack.of_role("app") if s.route], default=600.0)


def _route(service: Service) -> dict[str, Any]:
    assert service.route  # noqa: S101 - the caller asked
    live = service.health.live if service.health else None
    return {"service": service.name, **service.route.model_dump(), "live": live}


def secret_files(request: Request, services: list[Service]) -> dict[str, dict[str, Any]]:
    """Return the secret files of these services: value, and the user ids that read it."""
    files: dict[str, dict[str, Any]] = {}
    for service in services:
        for name in service.secrets:
            entry = files.setdefault(name, {"value": request.secrets[name], "readers": []})
            entry["readers"] = sorted({*entry["readers"], *render.readers(service)})
    return files


def secret_changes(request: Request, facts: HostFacts, release: str) -> list[str]:
    """Return the names of the secrets whose value is another one today than a release has on a host."""
    from slipway.agent.facts import mac

    told = facts.releases.get(release, {}).get("secrets", {})
    used = {n for s in request.stack.services if s.role != "accessory" for n in s.secrets}
    return sorted(n for n in used if told.get(n) != mac(request.challenge, request.secrets[n]))
