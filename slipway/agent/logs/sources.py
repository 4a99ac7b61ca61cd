"""Whose logs there are on this host: of the stack's containers, of those that were removed, and of the router."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import engine, router
from ..state import StackHome
from . import keep
from .files import full

ROUTER = "router"
"""What the access log is called among the services."""


@dataclass(frozen=True)
class Source:
    """One log.

    Args:
        service: whose; `router` for HAProxy's.
        release: "" for what is of no release.
        container: its name.
        key: what tells it from all others.
        path: its file.
        begins: a time before which it has no line.
        until: the time of its last line, where its container is gone ("~": unknown); else "".
    """

    service: str
    release: str
    container: str
    key: str
    path: Path
    begins: str = ""
    until: str = ""

    def told(self) -> dict[str, str]:
        """Return what the controller is told."""
        return {"service": self.service, "release": self.release, "container": self.container}


def present(home: StackHome, services: Collection[str]) -> tuple[list[Source], list[str]]:
    """Return the logs of containers that are there, running or not; and containers whose log driver keeps them elsewhere.

    Args:
        home: the stack's folder.
        services: only of these (empty: of all, the router included).
    """
    found = [] if services and set(services) == {ROUTER} else engine.containers(slipway_stack=home.stack)
    if not services or ROUTER in services:
        found += [c for c in engine.containers(slipway_role=ROUTER) if c not in found]
    sources, elsewhere = [], []
    for container in found:
        labels = container["Config"]["Labels"]
        service = ROUTER if labels.get("slipway.role") == ROUTER else labels.get("slipway.service", "")
        if not service or (services and service not in services):
            continue
        name, path, created = container["Name"].lstrip("/"), keep.log_of(container), full(container["Created"])
        if path:
            sources.append(Source(service, labels.get("slipway.release", ""), name, container["Id"], path, created))
        else:
            elsewhere.append(name)
    return sources, elsewhere


def removed(home: StackHome, services: Collection[str], since: str) -> list[Source]:
    """Return the logs that were kept of removed containers, with lines since that time ("": all)."""
    return [
        Source(m["service"], m["release"], m["container"], path.name, path, full(m["from"]), m["until"] or "~")
        for m, path in keep.kept(home.stack)
        if (not services or m["service"] in services) and (not since or not m["until"] or m["until"] >= since)
    ]


def of_stack(home: StackHome) -> tuple[str, ...]:
    """Return what the router calls this stack's requests: how its backends begin, and the port's name, for those of none."""
    plan: dict[str, Any] = router.wanted(home.stack) or {}
    return (f"{home.stack}:", *([f"port-{plan['port']}"] if "port" in plan else []))
