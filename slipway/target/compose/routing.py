"""Which release gets the requests: what the router is told, the proof afterwards, and the way back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.plan.operation import Operation, Phase
from slipway.settings.model import Environment
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.request import ROUTER_IMAGE, Request

FULL = 100
"""Weight of a server that takes its share; 0 takes none."""


def router_plan(
    facts: HostFacts,
    target: str,
    target_meta: Mapping[str, Any],
    switched: set[str] | None = None,
    also: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return what the router should do (see `slipway.agent.haproxy.render`): send everything to `target`.

    Args:
        facts: the host's facts: releases that still run keep their servers, without a share.
        target: the release that gets the traffic.
        target_meta: what is recorded of it.
        switched: only these services are switched yet (default: all); the rest stays with the release that has them.
        also: releases that will run by then, with what is recorded of them.
    """
    known = {**facts.releases, **(also or {}), target: target_meta}
    kept = {r for r in known if facts.running(r)} | facts.receiving() | set(also or {})
    routed = {r: {n: s for n, s in known[r]["services"].items() if s["routed"]} for r in known}
    # Service by service: a run that was killed between two phases left some with one release, some with the other.
    has = {n: facts.serving(n) for of in routed.values() for n in of}
    gets = {n: target if switched is None or n in switched else has[n] for n in has}
    releases = []
    for release in [*sorted(kept & set(known) - {target}), target]:
        services = routed[release]
        if release == target:
            # The others have not been started: the router could not look their addresses up, and would notice late.
            services = {n: s for n, s in services.items() if gets[n] == target}
        weights = {n: FULL if gets[n] == release else 0 for n in services}
        releases.append({"id": release, "weights": weights, **_servers(release, known[release], services)})
    door = target_meta["router"]
    # Until a service is switched, and as long as any is not, paths lead where they led.
    whole = switched is None or switched >= set(routed[target])
    by = dict.fromkeys(routed[target], target) if whole else {n: r for n, r in gets.items() if r in known}
    records = [next(r for r in known[release]["router"]["routes"] if r["service"] == n) for n, release in by.items()]
    routes = [{k: route[k] for k in ("service", "path", "timeout")} for route in records]
    return {**{k: door[k] for k in ("stack", "port", "domain")}, "routes": routes, "releases": releases}


def _servers(release: str, meta: Mapping[str, Any], routed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a release's own containers, ports and health paths: the next release's may be others."""
    door = meta["router"]
    names = {n: [f"{door['stack']}-{release}-{n}-{i}" for i in range(1, s["replicas"] + 1)] for n, s in routed.items()}
    of = {route["service"]: route for route in door["routes"]}
    return {"servers": names, "ports": {n: of[n]["port"] for n in routed}, "live": {n: of[n]["live"] for n in routed}}


def router_operation(request: Request) -> Operation:
    """Return what sees that a host's router runs, and that the stack's port leads to it."""
    params = {"image": ROUTER_IMAGE, "port": request.entry.port}
    return Operation("router.ensure", "see that the router runs", params)


def switch_operation(says: str, release: str, wanted: Mapping[str, Any], *, activate: bool = False) -> Operation:
    """Return the operation that has the router send requests to `release` as `wanted` says.

    `activate`: a deploy, which makes the release the newest one; a rollback does not.
    """
    return Operation("router.apply", says, {"wanted": wanted, "release": release, "activate": activate})


def others_quiet(facts: HostFacts, release: str, quiet: list[str]) -> list[Operation]:
    """Return what ends the services without a route, `quiet`, of every other release on a host."""
    others = sorted(r for r in facts.releases if r != release and any(facts.running(r, name) for name in quiet))
    says = f"let {', '.join(quiet)} of %s finish"
    return [Operation("services.stop", says % old, {"release": old, "services": quiet}) for old in others]


def after_switch(env: Environment, release: str, recorded: Mapping[str, Mapping[str, Any]]) -> list[Phase]:
    """Return what proves a release once it has the traffic: its smoke tests, and the watch that the environment asks for.

    Args:
        env: the environment.
        release: the release's id.
        recorded: what is recorded of it, by host.
    """
    smoke, watch = {}, {}
    for host, known in recorded.items():
        params = {"tests": known["smoke"], "port": known["router"]["port"], "domain": known["router"]["domain"]}
        if known["smoke"]:
            says = f"{len(known['smoke'])} requests through the front door"
            smoke[host] = (Operation("smoke.run", says, {**params, "release": release}),)
        apps = [s for s in known["services"].values() if s["role"] == "app"]
        seen = {"release": release, "services": apps, "seconds": env.settle}
        watch[host] = (Operation("release.watch", "watch health", seen),)
    phases = [Phase("Smoke tests", smoke, switched=True)] if smoke else []
    return phases + ([Phase(f"Watch for {env.settle:g} s", watch, switched=True)] if env.settle else [])


def revert_phases(request: Request, before: str, failed: str, recorded: Mapping[str, Any]) -> list[Phase]:
    """Return the way back after the switch: the router first, then what takes no requests."""
    hosts = {}
    for host in request.hosts:
        facts = request.facts[host]
        old = facts.releases.get(before)
        if old is None:
            continue
        quiet = {n: s for n, s in old["services"].items() if s["role"] == "app" and not s["routed"]}
        wanted = router_plan(facts, before, old, also={failed: recorded})
        ops = [switch_operation(f"send new requests to {before} again", before, wanted)]
        if quiet:
            ops.append(
                Operation(
                    "release.up", f"start {', '.join(quiet)}", {"release": before, "services": list(quiet.values())}
                )
            )
            ops.append(
                Operation("services.stop", "let the new one's finish", {"release": failed, "services": list(quiet)})
            )
        ops.append(Operation("release.note", f"mark {failed} as bad", {"release": failed, "facts": {"failed": True}}))
        hosts[host] = tuple(ops)
    return [Phase(f"Roll back to {before}", hosts, switched=True)] if hosts else []
