"""Accessories: what keeps data. A deploy starts them once and then never touches them. Pure."""

from __future__ import annotations

from typing import Any

from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.target.compose import render
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import ROUTER_IMAGE, Request, secret_files
from slipway.target.compose.routing import router_operation
from slipway.target.release import content_digest, keyed_digest


def accessory_digest(request: Request) -> str:
    """Return a digest of what the accessories should be, their secrets included."""
    return content_digest(accessory_document(request))


def accessory_document(request: Request) -> dict[str, Any]:
    """Return the Compose document of the accessories. A label tells each one's secrets apart: others make another container.

    A container keeps the file that its secret was when it started, and Compose does not look into files.
    """
    document = render.accessory_document(request.env, request.stack)
    for service in request.stack.of_role("accessory"):
        used = {name: request.secrets[name] for name in service.secrets}
        if used:
            document["services"][service.name]["labels"]["slipway.secrets"] = keyed_digest({}, used)[:16]
    return document


def accessory_changes(request: Request) -> bool:
    """Tell whether accessories run that are not what the settings say."""
    applied = request.facts[request.first].raw["accessories"]
    return bool(applied and applied["digest"] != accessory_digest(request))


def missing_accessories(request: Request) -> list[str]:
    """Return the accessories that app services depend on and that are not there, although others are."""
    facts = request.facts[request.first]
    if not facts.raw["accessories"]:
        return []
    there = {c["service"] for c in facts.raw["containers"] if c["role"] == "accessory"}
    return sorted(s.name for s in request.stack.of_role("accessory") if s.name not in there)


def accessory_operations(request: Request) -> list[Operation]:
    """Return what makes the accessories what the settings say, on the environment's first host."""
    document = accessory_document(request)
    services = request.stack.of_role("accessory")
    return [
        Operation("volumes.ensure", "see that volumes exist", {"names": render.volumes(document)}),
        Operation(
            "accessories.apply",
            "start " + ", ".join(s.name for s in services),
            {
                "compose": render.as_yaml(document),
                "digest": accessory_digest(request),
                "secrets": secret_files(request, list(services)),
                "services": [render.gate_of(s, request.entry) for s in services],
            },
        ),
    ]


def plan_accessories(request: Request) -> Plan:
    """Return the plan that makes the accessories what the settings say; it has no phases where they are that."""
    live = live_release(request.facts)
    applied = request.facts[request.first].raw["accessories"]
    same = bool(applied and applied["digest"] == accessory_digest(request))
    services = () if same else request.stack.of_role("accessory")
    changes, phases = [], []
    if services:
        names = ", ".join(s.name for s in services)
        text = f"{names}: those that changed restart; what needs them waits meanwhile (seconds)"
        changes.append(Change(request.first, "accessories", text))
        images = sorted({str(s.image) for s in services} | {ROUTER_IMAGE})
        pull = Operation("images.pull", "pull images", {"images": images, "auth": request.auth})
        phases.append(Phase("Pull images", {request.first: (pull, router_operation(request))}))
        phases.append(Phase("Apply accessories", {request.first: tuple(accessory_operations(request))}, felt=True))
    return Plan(
        "accessory.apply", request.env.name, request.stack.name, live or "", live, tuple(changes), tuple(phases)
    )
