"""The planner of `rollback`: back to an earlier verified release. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from slipway.errors import BadInput
from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.target.compose import render
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import Request
from slipway.target.compose.routing import (
    after_switch,
    others_quiet,
    revert_phases,
    router_operation,
    router_plan,
    switch_operation,
)
from slipway.target.compose.schema import refuse_past
from slipway.target.release import content_digest


def choose(request: Request, to: str | None) -> str:
    """Return the release to go back to: `to`, or the newest verified one that was live before the live one.

    A rollback that was killed after its switch is ended, not followed by another one.


    Raises:
        BadInput: there is none, `to` is not kept on every host, or it needs an older shape of the database.
    """
    live = live_release(request.facts)
    first = request.facts[request.first]
    kept = [{r for r, m in f.releases.items() if m.get("verified")} for f in request.facts.values()]
    everywhere = set.intersection(*kept) - {live or ""}
    order = [r for r in first.rollback_candidates() if r in everywhere]
    where = f"{request.stack.name} in {request.env.name}"
    serves = f"release {live}" if live else "nothing"
    unfinished = first.raw["unfinished"]
    if to is None and live and unfinished and (unfinished["verb"], unfinished["release"]) == ("rollback", live):
        return live
    found = to if to is not None and to in everywhere else order[0] if to is None and order else None
    if found:
        refuse_past(request, found)
        return found
    what = f"release {to} is not kept" if to else "there is no earlier verified release"
    others = sorted(everywhere)
    name = request.env.name
    to_others = f"inv rollback --env {name} --to {others[-1]} goes to one that is kept; " if others else ""
    todo = f"{to_others}inv deploy --env {name} --version NAME brings a version back whose images the registry has"
    raise BadInput(what, where=where, seen=f"kept: {', '.join(others) or 'none'}", serves=serves, todo=todo)


def plan_rollback(request: Request, target: str) -> Plan:
    """Return the plan that sends users back to `target`: with its own settings and secrets, and rotated credentials of today.

    A release that still runs is switched to at once; one that was stopped is started and gated first.
    """
    live = live_release(request.facts)
    prepare, start, switch = {}, {}, {}
    for host in request.hosts:
        facts = request.facts[host]
        meta = facts.releases[target]
        apps = {n: s for n, s in meta["services"].items() if s["role"] == "app"}
        routed = [s for s in apps.values() if s["routed"]]
        quiet = [s for s in apps.values() if not s["routed"]]
        rotated = rotated_secrets(request, host, target)
        if rotated or not facts.warm(target):
            prepare[host] = _prepare(request, target, meta, rotated)
            start[host] = (_up(target, routed, recreate=bool(rotated)),)
        wanted = router_plan(facts, target, meta)
        ops = [router_operation(request), switch_operation(f"send new requests to {target}", target, wanted)]
        if quiet:
            ops.append(_up(target, quiet, recreate=bool(rotated)))
        leaving = facts.releases.get(live or "", meta)["services"].values()
        ends = sorted({s["name"] for s in [*quiet, *leaving] if s["role"] == "app" and not s["routed"]})
        switch[host] = (*ops, *others_quiet(facts, target, ends))
    phases = [Phase("Prepare hosts", prepare), Phase("Start and wait for health", start)] if start else []
    left = [h for h in request.hosts if request.facts[h].raw["leftovers"]]
    if left:
        tidy = Operation("stack.tidy", "remove what killed runs left", {"keep": target})
        phases.insert(0, Phase("Tidy up", dict.fromkeys(left, (tidy,))))
    metas = {h: f.releases[target] for h, f in request.facts.items()}
    phases += [Phase("Switch", switch, switched=True), *after_switch(request.env, target, metas)]
    phases += [Phase("Verify", verify="rollback", switched=True)]
    away = live not in (None, target)
    revert = revert_phases(request, str(live), target, request.facts[request.first].releases[target]) if away else []
    # A good release that could not be gone back to just now is no bad release.
    revert = [_without_notes(phase) for phase in revert]
    changes = _changes(request, target, live)
    return Plan(
        "rollback", request.env.name, request.stack.name, target, live, changes, tuple(phases), (), tuple(revert)
    )


def _without_notes(phase: Phase) -> Phase:
    hosts = {h: tuple(o for o in ops if o.kind != "release.note") for h, ops in phase.hosts.items()}
    return Phase(phase.title, hosts, switched=phase.switched)


def rotated_secrets(request: Request, host: str, release: str) -> list[str]:
    """Return the secrets whose value is another one today than the release has: they take today's."""
    from slipway.agent.facts import mac

    told = request.facts[host].releases[release].get("secrets", {})
    return sorted(n for n, told_mac in told.items() if told_mac != mac(request.challenge, request.secrets[n]))


def _up(release: str, services: list[Mapping[str, Any]], recreate: bool) -> Operation:
    names = ", ".join(s["name"] for s in services)
    params = {"release": release, "services": services, "recreate": recreate}
    return Operation("release.up", f"start {names}", params)


def _prepare(request: Request, target: str, meta: Mapping[str, Any], rotated: list[str]) -> tuple[Operation, ...]:
    images = sorted(set(meta["images"].values()))
    ops = [Operation("images.pull", "see that its images are there", {"images": images, "auth": request.auth})]
    if rotated:
        readers = _readers(meta["content"])
        values = {n: {"value": request.secrets[n], "readers": readers.get(n, ["0"])} for n in rotated}
        ops.append(
            Operation("secrets.rotate", f"give it today's {', '.join(rotated)}", {"release": target, "secrets": values})
        )
    return tuple(ops)


def _readers(content: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for section in content["services"].values():
        for name in render.secret_names(section):
            found.setdefault(name, {"0"}).add(str(section.get("user", "0")).partition(":")[0])
    return {name: sorted(uids) for name, uids in found.items()}


def _changes(request: Request, target: str, live: str | None) -> tuple[Change, ...]:
    facts = request.facts[request.first]
    old, new = facts.releases.get(live or "", {}), facts.releases[target]
    changes = []
    for service, image in new["images"].items():
        before = old.get("images", {}).get(service, "none")
        if before != image:
            changes.append(Change("", "image", f"{service}: {before} → {image}"))
    if json.dumps(_settings(old)) != json.dumps(_settings(new)):
        changes.append(Change("", "settings", f"those of release {target}"))
    changes += [
        Change(h, "secret", f"{n}: today's value") for h in request.hosts for n in rotated_secrets(request, h, target)
    ]
    warm = all(f.warm(target) for f in request.facts.values())
    changes.append(Change("", "release", f"{target} is {'still running' if warm else 'stopped and will be started'}"))
    return tuple(changes)


def _settings(meta: Mapping[str, Any]) -> str:
    content = meta.get("content", {})
    services = {n: {k: v for k, v in s.items() if k != "image"} for n, s in content.get("services", {}).items()}
    return content_digest(services)
