"""What a deploy would change, in words and diffs; secrets by name only. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from slipway.plan.operation import Change
from slipway.target.compose import render
from slipway.target.compose.accessories import accessory_changes
from slipway.target.compose.facts import HostFacts, live_release
from slipway.target.compose.request import ROUTER_IMAGE, Release, Request, meta, secret_changes

_MAKES_IT = ("content", "services", "router", "smoke", "drain")
"""What is recorded of a release and makes it what it is, but for its name."""


def unchanged(request: Request, release: Release, named: bool) -> bool:
    """Tell whether the live release is `release` already, whole, on every host.

    Args:
        request: settings and facts.
        release: what a deploy would make.
        named: the version was given by name: then another name is another release, even where digests are equal.
    """
    live = live_release(request.facts)
    if live is None or (named and live != release.id):
        return False
    wanted = json.loads(json.dumps(meta(request, release)))
    for facts in request.facts.values():
        known = facts.releases.get(live, {})
        same = all(known.get(key) == wanted[key] for key in _MAKES_IT) and not secret_changes(request, facts, live)
        if not same or not known.get("verified") or facts.raw["unfinished"] or not facts.is_whole(live):
            return False
    return True


def changes(request: Request, release: Release) -> list[Change]:
    """Return what a deploy would change, per host where hosts differ, in words and diffs; secrets by name only."""
    found: list[Change] = []
    seen: set[tuple[str, str]] = set()
    for host in request.hosts:
        facts = request.facts[host]
        for change in _host_changes(request, facts, release):
            key = (change.what, change.text)
            everywhere = len(request.hosts) == 1 or all(
                key in {(c.what, c.text) for c in _host_changes(request, f, release)} for f in request.facts.values()
            )
            if key not in seen or not everywhere:
                found.append(Change("" if everywhere else host, change.what, change.text))
            seen.add(key)
    if accessory_changes(request):
        text = f"changed, and left alone: inv accessory.apply --env {request.env.name} applies it"
        found.append(Change(request.first, "accessories", text))
    return found


def _host_changes(request: Request, facts: HostFacts, release: Release) -> list[Change]:
    live = facts.live()
    old = facts.releases.get(live or "", {})
    found = []
    for service, image in release.images.items():
        before = old.get("images", {}).get(service, "none")
        if before != image:
            found.append(Change(facts.host, "image", f"{service}: {_short(before)} → {_short(image)}"))
    if facts.host == request.first:
        waiting = [m for m in request.migrations if m not in old.get("migrations", [])]
        found += [Change(facts.host, "migration", f"{name} waits") for name in waiting]
    diff = _settings_diff(old.get("content", {}), release.content)
    if diff and old:
        found.append(Change(facts.host, "settings", f"of the release\n{diff}"))
    if old:
        names = secret_changes(request, facts, live or "")
        found += [Change(facts.host, "secret", f"{name}: another value") for name in names]
    if not facts.router["answers"]:
        found.append(Change(facts.host, "router", f"starts {ROUTER_IMAGE} on port {request.entry.port}"))
    elif request.entry.port not in facts.router["ports"]:
        found.append(Change(facts.host, "router", f"opens port {request.entry.port}"))
    if facts.host == request.first and facts.raw["accessories"] is None and request.stack.of_role("accessory"):
        found += [
            Change(facts.host, "accessory", f"{s.name}: starts {s.image}") for s in request.stack.of_role("accessory")
        ]
    return found


def _short(image: str) -> str:
    name, _, digest = image.partition("@sha256:")
    return f"{name}@{digest[:12]}" if digest else name


def _settings_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    a, b = (_without_images(c).splitlines() for c in (old, new))
    return "\n".join(list(difflib.unified_diff(a, b, "live", "new", lineterm="", n=2))[2:])


def _without_images(content: Mapping[str, Any]) -> str:
    services = {n: {k: v for k, v in s.items() if k != "image"} for n, s in content.get("services", {}).items()}
    # What a host recorded comes back with its keys sorted.
    return render.as_yaml(json.loads(json.dumps({**content, "services": services}, sort_keys=True)))
