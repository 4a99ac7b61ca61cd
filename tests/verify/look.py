"""A look at a host in one remote command: a script of the standard library runs there and answers in JSON.

Each remote command costs a round trip; the suites want some forty things.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testinfra.host import Host

_REMOTE = Path(__file__).parent / "remote"


@dataclass(frozen=True)
class Server:
    """A host, as root sees it."""

    engine: dict[str, Any]
    daemon: dict[str, Any]
    sshd: dict[str, list[str]]
    chains: dict[str, dict[str, Any]]
    rules: str
    listening: list[int]
    paths: dict[str, dict[str, Any]]
    units: dict[str, dict[str, str]]
    sudo: str
    compose: str
    upgrades: str


@dataclass(frozen=True)
class Release:
    """A stack on a host, as the deploying user sees it."""

    containers: list[dict[str, Any]]
    images: dict[str, list[str]]
    router: dict[str, Any] | None
    door: dict[str, Any] | None
    servers: list[dict[str, Any]]
    router_says: str
    front: dict[str, Any]
    secret_files: list[dict[str, Any]]
    leaks: list[str]

    def running(self, name: str, release: str | None = None) -> list[dict[str, Any]]:
        """Return the running containers of a service (of an app: of this release)."""
        return [c for c in self.of(name, release) if c["State"]["Running"]]

    def of(self, name: str, release: str | None = None) -> list[dict[str, Any]]:
        """Return the containers of a service, running or not."""
        labels = {"slipway.service": name} | ({"slipway.release": release} if release else {})
        return [c for c in self.containers if labels.items() <= c["Config"]["Labels"].items()]

    def servers_of(self, backend: str) -> list[dict[str, Any]]:
        """Return the router's servers of a backend."""
        return [s for s in self.servers if s["backend"] == backend]

    def share(self, backend: str, release: str) -> float:
        """Return the share of new requests, in percent, that the router gives a release now."""
        up = [s for s in self.servers_of(backend) if s["up"]]
        total = sum(s["weight"] for s in up)
        own = sum(s["weight"] for s in up if s["release"] == release)
        return 100 * own / total if total else 0.0


@dataclass(frozen=True)
class Logs:
    """What is rotated on a host, as root sees it; `files` in the order of the facts' `rotated_files`."""

    units: dict[str, dict[str, str]]
    files: list[list[dict[str, Any]]]
    written: list[list[int]]
    containers: list[dict[str, Any]]


def look_at_logs(host: Host, user: str, files: list[dict[str, Any]]) -> Logs:
    """Return what root sees of logs; `user` is the one that deploys."""
    return Logs(**_ask(host, "logs.py", {"user": user, "files": files}))


def look_at_server(host: Host, user: str) -> Server:
    """Return what root sees; `user` is the one that deploys."""
    return Server(**_ask(host, "server.py", {"user": user}))


def look_at_release(host: Host, facts: dict[str, Any]) -> Release:
    """Return what the deploying user sees of the stack that `facts` speak of."""
    routed = {name: s for name, s in facts["services"].items() if s["role"] == "app" and s.get("route")}
    paths = {name: _path(service) for name, service in routed.items()}
    question = {"stack": facts["stack"], "port": facts["port"], "domain": facts.get("domain"), "paths": paths}
    return Release(**_ask(host, "release.py", question))


def _path(service: dict[str, Any]) -> str:
    """Return a path that the router sends to the service: where it says that it is ready, if below its route."""
    prefix = service["route"]["path"].rstrip("/")
    ready = (service.get("health") or {}).get("ready", "")
    return ready if ready.startswith(f"{prefix}/") else prefix or "/"


def _ask(host: Host, script: str, question: dict[str, Any]) -> dict[str, Any]:
    source = (_REMOTE / script).read_text()
    answer = host.check_output("python3 -c %s %s", source, json.dumps(question))
    return dict(json.loads(answer))
