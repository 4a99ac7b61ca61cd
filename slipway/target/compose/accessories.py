"""Accessories: what keeps data. A deploy starts them once and then never touches them. Pure."""

from __future__ import annotations

from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.target.compose import render
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import ROUTER_IMAGE, Request, secret_files


def accessory_digest(request: Request) -> str:
    """Return a digest of what the accessories should be, their secrets included."""
    used = {n: request.secrets[n] for s in request.stack.of_role("accessory") for n in s.secrets}
    return render.content_digest({"document": render.accessory_document(request.env, request.stack), "secrets": used})


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
    document = render.accessory_document(request.env, request.stack)
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
    if applied and applied["digest"] == accessory_digest(request):
        return Plan("accessory.apply", request.env.name, request.stack.name, live or "", live, (), ())
    services = request.stack.of_role("accessory")
    pull = Operation(
        "images.pull", "pull images", {"images": sorted({str(s.image) for s in services}), "auth": request.auth}
    )
    router = Operation("router.ensure", "see that the router runs", {"image": ROUTER_IMAGE, "port": request.entry.port})
    images = Operation("images.pull", "pull the router's image", {"images": [ROUTER_IMAGE], "auth": request.auth})
    text = (
        f"{', '.join(s.name for s in services)}: those that changed restart; what needs them waits meanwhile (seconds)"
    )
    phases = (
        Phase("Pull images", {request.first: (images, pull, router)}),
        Phase("Apply accessories", {request.first: tuple(accessory_operations(request))}),
    )
    change = (Change(request.first, "accessories", text),)
    return Plan("accessory.apply", request.env.name, request.stack.name, live or "", live, change, phases)
