"""Settings and facts as values, for the planners' tests: the stack `probe`, and hosts in any state."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slipway.agent.facts import mac
from slipway.lab.state import LabRegistry, LabState
from slipway.settings import load
from slipway.settings.model import Environment, Registry, Stack, StackEntry
from slipway.target.compose import request as requests
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.request import Release, Request
from slipway.target.kubernetes import manifests
from slipway.target.kubernetes import overlay as overlays
from tests.support import quickyaml

_PROBE = Path(__file__).parent / "probe"
LAB = LabState("here", "net", "192.0.2.0/24", LabRegistry("127.0.0.1:5000"), (), "/nowhere/key", "/nowhere/known_hosts")
CHALLENGE = "challenge"
SECRETS = {"token": "the-token-of-today"}
DIGESTS = {
    name: f"registry.lab:5000/probe/{name}@sha256:{n * 64}" for name, n in (("web", "a"), ("extra", "b"), ("tick", "c"))
}


class Played:
    """A registry that knows tags, as `name:tag` -> digest."""

    registry = Registry(push="127.0.0.1:5000", pull="registry.lab:5000", insecure=True)

    def __init__(self, **tags: str) -> None:
        self.tags = dict(tags)

    def digest(self, name: str, tag: str) -> str | None:
        return self.tags.get(f"{name}:{tag}")

    def retag(self, name: str, digest: str, tag: str) -> None:
        self.tags[f"{name}:{tag}"] = digest


def settings(
    folder: Path, *, hosts: int = 1, services: Mapping[str, Any] | None = None, **more: Any
) -> tuple[Environment, StackEntry, Stack]:
    """Return an environment of so many rented hosts with the stack `probe`; `more` are further keys of the environment.

    `services` are more services of the stack, or keys over those that a service has.
    """
    file = folder / "compose/probe/compose.yaml"
    if not file.parent.exists():
        shutil.copytree(_PROBE, file.parent)
    if services:
        stack = quickyaml.load(_stack_file())
        for name, section in services.items():
            stack["services"][name] = {**stack["services"].get(name, {}), **section}
        file.write_text(quickyaml.dump(stack, sort_keys=False))
    else:
        file.write_text(_stack_file())
    document = {
        "hosts": [{"name": f"app{n}", "address": f"192.0.2.{n}"} for n in range(1, hosts + 1)],
        "registry": {"push": "127.0.0.1:5000", "pull": "registry.lab:5000", "insecure": True},
        "vault_password": {"file": "/nowhere"},
        "stacks": [{"name": "probe", "port": 8300}],
        **more,
    }
    (folder / "envs").mkdir(exist_ok=True)
    if "lab" in more:
        document = {key: document[key] for key in document if key not in ("hosts", "registry", "vault_password")}
    (folder / "envs/here.yml").write_text(json.dumps(document))
    return load.load("here", at=folder)


@functools.cache
def _stack_file() -> str:
    return (_PROBE / "compose.yaml").read_text()


def facts(host: str = "app1", **changes: Any) -> HostFacts:
    """Return the facts of a provisioned host on which nothing was deployed yet, but for `changes`."""
    router = {"answers": False, "shares": {}, "weights": {}, "open": {}, "ports": []}
    raw = {
        "provisioned": {"digest": "x"}, "releases": {}, "containers": [],
        "accessories": None, "router": router, "environment": None, "unfinished": None, "leftovers": [], "ledger": [], "fence": 0,
        "lease": None,        "frozen": None,
    }  # fmt: skip
    return HostFacts(host, {**raw, **changes})


def request(folder: Path, found: Mapping[str, HostFacts], **more: Any) -> Request:
    """Return a planner's request: `more` are fields of `Request`, or (`environment`, `services`) of `settings`."""
    services = more.pop("services", None)
    env, entry, stack = settings(folder, hosts=len(found), services=services, **more.pop("environment", {}))
    given = {"secrets": SECRETS, "challenge": CHALLENGE, "by": "me@here", **more}
    return Request(env, entry, stack, found, **given)


def release(of: Request, version: str = "v1", images: Mapping[str, str] = DIGESTS) -> Release:
    """Return a release of `probe`."""
    return requests.make_release(of, version, images)


def recorded(of: Request, made: Release, **more: Any) -> dict[str, Any]:
    """Return what a host tells of a release: what was recorded of it, and its secrets."""
    told = {n: mac(of.challenge, v) for n, v in of.secrets.items()}
    then = "2026-01-01T00:00:00.000Z"
    whole = {"verified": True, "live_since": then, "activated_at": then, "activated_run": 1}
    return {**requests.meta(of, made), "secrets": told, **whole, **more}


def containers(meta: Mapping[str, Any], state: str = "running", health: str = "healthy") -> list[dict[str, Any]]:
    """Return the containers of a release, as facts tell them."""
    return [
        {
            "name": f"probe-{meta['id']}-{name}-{n}", "service": name, "release": meta["id"], "role": "app", "state": state,
            "image": meta["images"][name], "health": health, "restarts": 0, "exit_code": 0,
        }
        for name, service in meta["services"].items()
        for n in range(1, service["replicas"] + 1)
    ]  # fmt: skip


def serving(of: Request, made: Release, *others: Mapping[str, Any], host: str = "app1", **changes: Any) -> HostFacts:
    """Return the facts of a host that serves a release, whole; `others` are recorded releases that run beside it."""
    meta = recorded(of, made)
    shares = {n: {made.id: 100.0} for n, s in meta["services"].items() if s["routed"]}
    store = {
        "name": "probe-accessories-store-1", "service": "store", "release": "", "role": "accessory", "state": "running",
        "image": "redis:8", "health": "healthy", "restarts": 0, "exit_code": 0,
    }  # fmt: skip
    everything: dict[str, Any] = {
        "releases": {made.id: meta, **{o["id"]: dict(o) for o in others}},
        "containers": [store, *containers(meta), *[c for o in others for c in containers(o)]],
        "accessories": {"digest": "unknown"},
        "router": {
            "answers": True, "shares": shares, "weights": {service: {made.id: 200} for service in shares}, "open": {},
            "ports": [8300],
        },
    }  # fmt: skip
    return facts(host, **{**everything, **changes})


def kinds(operations: Sequence[Any]) -> list[str]:
    """Return the kinds of operations."""
    return [o.kind for o in operations]


def released(
    overlay: list[dict[str, Any]], env: Environment, *, beside: bool = False, release: str = "v1-abc123"
) -> tuple[list[dict[str, Any]], manifests.Values]:
    """Return what is applied of a stack's rendered overlay for a release, and what it was filled with."""
    name = next(m["metadata"]["labels"]["app.kubernetes.io/part-of"] for m in overlay if m["kind"] == "Deployment")
    stack = load.stack(env, name)
    images = {s.name: f"registry.example.com/{name}/{s.name}@sha256:{'a' * 64}" for s in stack.of_role("app")}
    secrets = {secret: f"the value of {secret}" for secret in stack.secrets}
    values = manifests.Values(env, env.stack(name), stack, images, secrets)
    made = manifests.app_manifests(overlays.read(overlay, stack, env.name), values)
    found = manifests.released(made, release, "v1", stack, beside=beside)
    return manifests.with_secrets(found, values, "app"), values
