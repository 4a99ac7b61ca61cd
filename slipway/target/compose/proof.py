"""The proof of a release: what the suites of tests/verify/ compare the hosts with, and running them."""

from __future__ import annotations

from typing import Any

from slipway.host.verify import Suite
from slipway.target.compose import workplace
from slipway.target.compose.workplace import Workplace


def proof(place: Workplace, release: str, meta: dict[str, Any], step: Suite) -> None:
    """Run a verification suite on the hosts. Raise SlipwayError where it fails."""
    from slipway.host import verify

    keys = place.access
    facts = verify_facts(place, release, meta)
    found = verify.verify(place.env, step, facts, key_file=keys.key_file, known_hosts=keys.known_hosts)
    workplace.refuse_findings(place, step, found)


def verify_facts(place: Workplace, release: str, meta: dict[str, Any]) -> dict[str, Any]:
    """Return what the suites of tests/verify/ compare the hosts with."""
    services = {}
    for name, gate in meta["services"].items():
        route = next((r for r in meta["router"]["routes"] if r["service"] == name), None)
        services[name] = {
            "role": gate["role"],
            "replicas": gate["replicas"],
            "image": meta["images"][name],
            "digest": meta["images"][name].partition("@")[2],
            "route": {"path": route["path"], "port": route["port"]} if route else None,
            "health": {"live": route["live"], "ready": gate["ready"]} if route and route["live"] else None,
        }
    first = place.env.hosts[0].name
    migrate = place.stack.migrate
    return {
        "env": place.env.name,
        "stack": place.stack.name,
        "release": release,
        "version": meta["version"],
        "port": meta["router"]["port"],
        "domain": meta["router"]["domain"],
        "services": services,
        "accessories": {s.name: {"image": s.image, "host": first} for s in place.stack.of_role("accessory")},
        "migrate": {**migrate.model_dump(), "host": first} if migrate else None,
        "shares": {release: 100},
        "hosts": {h.name: {"address": h.address} for h in place.env.hosts},
    }
