"""The planner of `deploy` and `migrate`: from settings and facts to a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.settings.model import Service
from slipway.target.compose import render
from slipway.target.compose.accessories import accessory_operations
from slipway.target.compose.changes import changes
from slipway.target.compose.facts import live_release
from slipway.target.compose.request import ROUTER_IMAGE, Release, Request, meta, secret_files
from slipway.target.compose.routing import (
    after_switch,
    others_quiet,
    revert_phases,
    router_operation,
    router_plan,
    switch_operation,
)
from slipway.target.compose.schema import migrate_phase


def plan_deploy(request: Request, release: Release) -> Plan:
    """Return the plan that brings `release` live: beside what serves, gated, switched, the old one left to drain."""
    before = _earlier(request, release.id)
    recorded = meta(request, release)
    phases = [_prepare(request, release, recorded)]
    if request.stack.migrate:
        phases.append(migrate_phase(request, release.id))
    phases += _jobs(request, release)
    switched: set[str] = set()
    numbers = sorted({s.phase for s in request.stack.of_role("app")})
    for number in numbers:
        of = [s for s in request.stack.of_role("app") if s.phase == number]
        title = f" (phase {number})" if len(numbers) > 1 else ""
        phases.append(
            Phase(
                "Start and wait for health" + title, _start(request, release.id, recorded, of), switched=bool(switched)
            )
        )
        switched |= {s.name for s in of if s.route}
        last = number == numbers[-1]
        ops = {h: _switch(request, h, release.id, recorded, of, set(switched), last) for h in request.hosts}
        phases.append(Phase("Switch" + title, ops, switched=True))
    phases += after_switch(request.env, release.id, dict.fromkeys(request.hosts, recorded))
    phases.append(Phase("Verify", verify="deploy", switched=True))
    revert = revert_phases(request, before, release.id, recorded) if before and before != release.id else []
    return Plan(
        "deploy", request.env.name, request.stack.name, release.id, before, tuple(changes(request, release)),
        tuple(phases), _undo(request, release.id), tuple(revert),
    )  # fmt: skip


def _earlier(request: Request, release: str) -> str | None:
    """Return the release that serves now, and that is gone back to.

    Where a run was killed after it had switched to `release`, that is the verified one before it, if it is warm everywhere.
    """
    live = live_release(request.facts)
    if live != release or request.facts[request.first].releases.get(release, {}).get("verified"):
        return live
    earlier = request.facts[request.first].rollback_candidates()
    return next((r for r in earlier if all(f.warm(r) for f in request.facts.values())), live)


def _undo(request: Request, release: str) -> tuple[Phase, ...]:
    """Return the way back before the switch: what this run made is removed, what was kept before is stopped again."""
    hosts = {}
    for host in request.hosts:
        facts = request.facts[host]
        if release not in facts.releases or release in facts.raw["leftovers"]:
            hosts[host] = (Operation("release.remove", "remove the new release", {"release": release}),)
        elif release not in facts.receiving() and not facts.running(release):
            hosts[host] = (Operation("release.rest", f"stop {release} again", {"release": release}),)
    return (Phase("Undo", hosts),) if hosts else ()


def _prepare(request: Request, release: Release, recorded: Mapping[str, Any]) -> Phase:
    hosts = {}
    for host in request.hosts:
        first = host == request.first
        document = render.app_document(release.content, request.stack, release.id, release.version, first)
        secrets = secret_files(request, [s for s in request.stack.services if s.role != "accessory"])
        images = [ROUTER_IMAGE, *release.images.values()]
        fresh = first and request.facts[host].raw["accessories"] is None
        if fresh:
            images += [str(s.image) for s in request.stack.of_role("accessory")]
        images += [request.env.backup.image] if first and request.backup and request.env.backup else []
        ops = [
            Operation("host.check", "look at the disk", {"disk_mb": 300}),
            Operation("stack.tidy", "remove what killed runs left", {"keep": release.id}),
            Operation("volumes.ensure", "see that volumes exist", {"names": render.volumes(document)}),
            Operation(
                "release.write",
                f"write release {release.id}",
                {"release": release.id, "compose": render.as_yaml(document), "meta": recorded, "secrets": secrets},
            ),
            Operation(
                "images.pull", f"pull {len(set(images))} images", {"images": sorted(set(images)), "auth": request.auth}
            ),
            router_operation(request),
            *keeping(request, host),
            *drain_wait(request, host, release.id),
        ]
        if fresh and request.stack.of_role("accessory"):
            ops += accessory_operations(request)
        hosts[host] = tuple(ops)
    return Phase("Prepare hosts", hosts)


def keeping(request: Request, host: str) -> list[Operation]:
    """Return what tells a host what it keeps: the first one; another one that once was, that it keeps nothing any more."""
    if host == request.first and request.env.backup and request.stack.kept:
        return [request.backup] if request.backup else []
    told = request.facts[host].raw.get("backup")
    return [Operation("backup.forget", "note that nothing is kept here any more")] if told else []


def drain_wait(request: Request, host: str, coming: str) -> list[Operation]:
    """Return the wait for the oldest of the old releases with open requests, where there are too many side by side."""
    facts = request.facts[host]
    draining = [r for r, n in facts.router["open"].items() if n and r not in facts.receiving() | {coming}]
    draining.sort(key=lambda r: facts.releases.get(r, {}).get("deactivated_run") or 0)
    # The live one will drain as well once the switch is done: it takes a place.
    over = draining[: max(0, len(draining) + 1 - request.env.max_draining)]

    def limit(release: str) -> float:
        return 0.0 if request.cut else float(facts.releases.get(release, {}).get("drain", 0.0))

    return [
        Operation("release.drain", f"wait for the last requests of {r}", {"release": r, "limit": limit(r)})
        for r in over
    ]


def _jobs(request: Request, release: Release) -> list[Phase]:
    """Return what runs once, before the release starts: its jobs, one after the other, on the first host."""
    ops = tuple(
        Operation(
            "release.run",
            f"run {job.name}",
            {"release": release.id, "service": job.name, "command": [], "what": f"the job {job.name} failed"},
        )
        for job in request.stack.of_role("job")
    )
    return [Phase("Run jobs", {request.first: ops})] if ops else []


def plan_migrate(request: Request, release: Release, shown: tuple[Change, ...] = ()) -> Plan:
    """Return the plan that runs the migrations of `release` without deploying it; `shown`: they, for people."""
    live = live_release(request.facts)
    recorded = meta(request, release)
    prepare = {request.first: _prepare(request, release, recorded).hosts[request.first]}
    undo = {request.first: (Operation("release.remove", "remove what was prepared", {"release": release.id}),)}
    known = release.id in request.facts[request.first].releases
    last = () if known else (Phase("Remove what was prepared", undo),)
    phases = (Phase("Prepare hosts", prepare), migrate_phase(request, release.id), *last)
    return Plan("migrate", request.env.name, request.stack.name, release.id, live, shown, phases, last)


def _start(
    request: Request, release: str, recorded: Mapping[str, Any], of: list[Service]
) -> dict[str, tuple[Operation, ...]]:
    routed, quiet = [s for s in of if s.route], [s for s in of if not s.route]
    ops = []
    for group in (routed, quiet):  # what takes no requests starts once the rest has passed the gate
        if group:
            gates = [recorded["services"][s.name] for s in group]
            names = ", ".join(s.name for s in group)
            ops.append(Operation("release.up", f"start {names}", {"release": release, "services": gates}))
    return dict.fromkeys(request.hosts, tuple(ops))


def _switch(
    request: Request,
    host: str,
    release: str,
    recorded: Mapping[str, Any],
    of: list[Service],
    switched: set[str],
    last: bool,
) -> tuple[Operation, ...]:
    facts = request.facts[host]
    wanted = router_plan(facts, release, recorded, switched)
    quiet = [s.name for s in of if not s.route]
    if last:  # workers that the release does not have any more
        known = {s["name"] for m in facts.releases.values() for s in m["services"].values() if not s["routed"]}
        quiet += sorted(known - set(recorded["services"]))
    switch = switch_operation(f"send new requests to {release}", release, wanted, activate=True)
    return switch, *others_quiet(facts, release, quiet)
