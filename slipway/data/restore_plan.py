"""The planner of `restore`: from settings, facts and the backup that was chosen to a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.settings import backups
from slipway.settings.model import Stack
from slipway.target.compose.accessories import accessory_operations
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import ROUTER_IMAGE, Request
from slipway.target.compose.routing import router_operation
from slipway.target.compose.schema import migrate_phase

LOAD, SAVE, PUT = "Load the backup beside what is there", "Save what is there", "Put the backup in place"


def targets(stack: Stack) -> dict[str, list[dict[str, str]]]:
    """Return where kept files go, by service: `path`, `volume` (or folder of the host), `mount` of each path that is in one."""
    found: dict[str, list[dict[str, str]]] = {}
    for kept in stack.kept:
        if kept.kind != "files":
            continue
        section = stack.service(kept.service).compose
        mounts = {m: f"slipway-{stack.name}-{name}" for name, m in backups.mounted(section)}
        mounts |= {m: folder for folder, m in backups.bound(section)}
        for path in kept.paths:
            of = [m for m in mounts if f"{path}/".startswith(f"{m}/")]
            if of:
                mount = max(of, key=len)
                place = {"path": path, "volume": mounts[mount], "mount": mount}
                found.setdefault(kept.service, []).append(place)
    return found


def plan_restore(request: Request, chosen: Mapping[str, Any], only: Sequence[str], *, save: bool) -> Plan:
    """Return the plan that puts a backup in the place of what is there.

    Args:
        request: settings and facts.
        chosen: what the host told of the backup (`restore.look`).
        only: services; () is all of it.
        save: make a safety snapshot of what is there.
    """
    live = live_release(request.facts)
    stack, first = request.stack, request.first
    volumes = sorted({t["volume"] for of in targets(stack).values() for t in of if not t["volume"].startswith("/")})
    params = {"snapshot": chosen["set"]["id"], "only": list(only), "targets": targets(stack)}
    start = _start(request, live)
    begin = Operation(
        "restore.begin", "keep backups away", {"by": request.by, "command": f"inv restore --env {request.env.name}"}
    )
    prepare = [*_accessories(request), Operation("volumes.ensure", "see that volumes exist", {"names": volumes})]
    load = Operation("restore.load", "load it beside what is there, compare it with its manifest", params)
    phases = [
        Phase("Prepare the host", {first: (*prepare, begin)}),
        Phase(LOAD, {first: (load,)}),
        Phase("Stop the services", dict.fromkeys(request.hosts, (Operation("apps.stop", "stop apps"),))),
    ]
    if save:
        phases.append(Phase(SAVE, {first: (Operation("restore.save", "make a safety snapshot", params),)}))
    phases.append(Phase(PUT, {first: (Operation("restore.swap", "put it in place", params),)}, felt=True))
    if live and stack.migrate:
        phases.append(replace(migrate_phase(request, live), title="Check the schema", felt=True))
    phases += start
    tidy = Operation("restore.tidy", "remove what was loaded", params)
    return Plan(
        "restore", request.env.name, stack.name, live or "", live, tuple(_changes(request, chosen, live)),
        tuple(phases), (Phase("Remove what was loaded", {first: (tidy,)}), *_resume(request, live)),
    )  # fmt: skip


def _accessories(request: Request) -> list[Operation]:
    """Return what starts accessories that are not there, or do not run: an empty environment, or one that broke."""
    services = request.stack.of_role("accessory")
    if not services:
        return []
    facts = request.facts[request.first]
    running = {c["service"] for c in facts.raw["containers"] if c["role"] == "accessory" and c["state"] == "running"}
    if facts.raw["accessories"] and {s.name for s in services} <= running:
        return []
    images = sorted({str(s.image) for s in services} | {ROUTER_IMAGE})
    pull = Operation("images.pull", f"pull {len(images)} images", {"images": images, "auth": request.auth})
    return [pull, router_operation(request), *accessory_operations(request)]


def _start(request: Request, live: str | None) -> list[Phase]:
    """Return the phases that start the live release again, in the order of a deploy."""
    if live is None:
        return []
    recorded = request.facts[request.first].releases[live]
    ops = tuple(
        Operation("release.up", f"start {', '.join(s['name'] for s in of)}", {"release": live, "services": of})
        for of in _groups(recorded)
    )
    seen = Operation("apps.served", "wait for the router", {"release": live})
    phases = [Phase("Start and wait for health", dict.fromkeys(request.hosts, (*ops, seen)), felt=True)]
    door = recorded["router"]
    smoke = Operation(
        "smoke.run",
        "smoke tests",
        {"tests": recorded["smoke"], "port": door["port"], "domain": door["domain"], "release": live},
    )
    if recorded["smoke"]:
        phases.append(Phase("Smoke tests", dict.fromkeys(request.hosts, (smoke,)), felt=True))
    return phases


def _groups(recorded: Mapping[str, Any]) -> list[list[Mapping[str, Any]]]:
    """Return a release's apps in the order they start: by phase; what takes no requests once the rest is healthy."""
    gates = [s for s in recorded["services"].values() if s["role"] == "app"]
    order = sorted({(s["phase"], not s["routed"]) for s in gates})
    return [[s for s in gates if (s["phase"], not s["routed"]) == key] for key in order]


def _resume(request: Request, live: str | None) -> list[Phase]:
    """Return what starts apps again that this run has stopped, and nothing else."""
    if live is None:
        return []
    groups = _groups(request.facts[request.first].releases[live])
    op = Operation("apps.resume", "start again what was stopped", {"release": live, "groups": groups})
    return [Phase("Start again what was stopped", dict.fromkeys(request.hosts, (op,)))]


def _changes(request: Request, chosen: Mapping[str, Any], live: str | None) -> list[Change]:
    made = chosen["set"]
    made_with = f", made with release {made['release']}" if made["release"] else ""
    changes = [Change(request.first, "backup", f"{made['id']} of {chosen['at']}{made_with}")]
    for part in chosen["parts"]:
        where = f"{part['service']} ({part['kind']})"
        changes.append(Change(request.first, "data", f"{where}: replaced, {part['bytes'] / 1e6:.1f} MB"))
    if live is None:
        changes.append(Change("", "release", "none is live: a deploy then finds the data"))
    return changes


__all__ = ["LOAD", "PUT", "SAVE", "plan_restore", "targets"]
