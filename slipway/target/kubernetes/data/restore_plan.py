"""The planner of `restore` on a cluster: from settings, facts and the backup that was chosen to a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.data.restore_plan import LOAD, PUT, SAVE
from slipway.plan.operation import Change, Operation, Phase, Plan
from slipway.target.kubernetes.data.tools import Tool, targets
from slipway.target.kubernetes.facts import Facts, Object
from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.manifests import SERVICE
from slipway.target.kubernetes.request import Request

SCHEMA = "Check the schema"


def plan(
    request: Request, chosen: Mapping[str, Any], tools: Sequence[Tool], only: Sequence[str], accessories: Operation | None,
    *, by: str, save: bool,
) -> Plan:  # fmt: skip
    """Return the plan that puts a backup in the place of what is there.

    Args:
        request: settings and facts; `migrate` is what brings the live release's schema about.
        chosen: what the pod told of the backup (`restore.look`).
        tools: the containers of that pod.
        only: services; () is all of it.
        accessories: what starts the accessories, where they do not run.
        by: who restores.
        save: make a safety snapshot of what is there.
    """
    facts, stack, cluster = request.facts, request.values.stack, request.cluster
    env, live = request.values.env.name, request.facts.live()
    params = {"snapshot": chosen["set"]["id"], "only": list(only), "targets": targets(stack, tools)}
    begin = Operation("restore.begin", "keep backups away", {"by": by, "command": f"inv restore --env {env}"})

    def phase(title: str, *ops: Operation, felt: bool = False) -> Phase:
        return Phase(title, {cluster: ops}, felt=felt)

    apps = [d for d in facts.deployments() if d["spec"].get("replicas", 1) or live]
    held = _stopped_for(chosen, tools, facts)
    phases = [
        phase("Prepare the cluster", *([accessories] if accessories else []), begin),
        phase(LOAD, Operation("restore.load", "load it beside what is there, compare it with its manifest", params)),
    ]
    if apps:
        phases.append(phase("Stop the services", _stop(facts, apps, live)))
    if save:
        phases.append(phase(SAVE, Operation("restore.save", "make a safety snapshot", params)))
    put = Operation("restore.swap", "put it in place", params)
    if held:
        names = [name for name, _ in held]
        stop = Operation(
            "data.stop", f"stop {', '.join(names)}", {"kind": "StatefulSet", "groups": [names], "services": names}
        )
        phases.append(phase("Stop what keeps it", stop))
        phases.append(phase(PUT, put, _start_data(held), felt=True))
    else:
        phases.append(phase(PUT, put, felt=True))
    if live and request.migrate:
        phases.append(phase(SCHEMA, request.migrate, felt=True))
    back = [phase("Start and wait for health", _start(facts, live), felt=True)] if live else []
    smoke = _smoke(facts, live)
    phases += [*back, *([phase("Smoke tests", smoke, felt=True)] if live and smoke else [])]
    tidy = phase("Remove what was loaded", Operation("restore.tidy", "remove what was loaded", params))
    again = [phase("Start again what was stopped", _start_data(held))] if held else []
    return Plan(
        "restore", env, stack.name, live or "", live, tuple(_changes(cluster, chosen, live)), tuple(phases),
        (*again, *back, tidy),
    )  # fmt: skip


def _stop(facts: Facts, apps: Sequence[Object], live: str | None) -> Operation:
    """Return what ends all apps: last phase first, and within it what takes no requests first. Old releases with them."""
    services = facts.releases.get(live or "", {}).get("services", {})

    def rank(deployment: Object) -> tuple[int, bool]:
        about = services.get(deployment["metadata"]["labels"].get(SERVICE), {})
        return -int(about.get("phase", 1)), bool(about.get("routed"))

    order = sorted({rank(d) for d in apps})
    groups = [sorted(d["metadata"]["name"] for d in apps if rank(d) == key) for key in order]
    names = sorted({str(d["metadata"]["labels"].get(SERVICE)) for d in apps})
    params = {"kind": "Deployment", "groups": groups, "services": names}
    return Operation("apps.stop", f"stop {', '.join(names)}", params)


def _start(facts: Facts, live: str | None) -> Operation:
    """Return what starts the live release's apps again, in the order of a deploy."""
    services = facts.releases.get(live or "", {}).get("services", {})
    mine = [d for d in facts.deployments(release=live) if d["metadata"]["labels"].get(SERVICE) in services]

    def key(deployment: Object) -> tuple[int, bool]:
        about = services[deployment["metadata"]["labels"][SERVICE]]
        return int(about["phase"]), not about["routed"]

    groups = [
        [
            [d["metadata"]["name"], d["metadata"]["labels"][SERVICE], _count(facts, d),
             float(services[d["metadata"]["labels"][SERVICE]]["start_within"])]
            for d in sorted(mine, key=lambda d: str(d["metadata"]["name"])) if key(d) == one
        ]
        for one in sorted({key(d) for d in mine})
    ]  # fmt: skip
    return Operation("apps.start", "start the apps", {"groups": groups, "release": live})


def _count(facts: Facts, deployment: Object) -> int:
    """Return how many pods there were; where a restore that was killed has stopped them, the least that there should be."""
    now = max(int(deployment["spec"].get("replicas") or 0), facts.least(deployment) or 0)
    return now or _noted(facts, deployment) or 1


def _noted(facts: Facts, deployment: Object) -> int:
    from slipway.target.kubernetes import records

    release = deployment["metadata"]["labels"].get("slipway.release", "")
    for manifest in records.manifests_of(facts, release) or []:
        if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == deployment["metadata"]["name"]:
            return int(manifest["spec"].get("replicas", 1))
    return 0


def _stopped_for(chosen: Mapping[str, Any], tools: Sequence[Tool], facts: Facts) -> list[tuple[str, int]]:
    """Return the StatefulSets, and how many pods they have, whose files are moved: they must not run meanwhile."""
    parts = {(p["service"], p["kind"]) for p in chosen["parts"]}
    moved = {t.name for t in tools if t.claims and {(t.name, "redis"), (t.name, "files")} & parts}
    found = []
    for name in sorted(moved):
        one = facts.named("StatefulSet", name)
        if one is not None:
            found.append((name, int(one["spec"].get("replicas", 1)) or 1))
    return found


def _start_data(held: Sequence[tuple[str, int]]) -> Operation:
    names = ", ".join(name for name, _ in held)
    return Operation("data.start", f"start {names}", {"counts": [list(h) for h in held]})


def _smoke(facts: Facts, live: str | None) -> Operation | None:
    meta = facts.releases.get(live or "", {})
    tests = meta.get("smoke")
    if not tests:
        return None
    services: list[Manifest] = list(facts.objects.get("Service", ()))
    ports = {
        s["metadata"]["name"]: str(s["spec"]["ports"][0].get("name") or s["spec"]["ports"][0]["port"])
        for s in services if s["spec"].get("ports")
    }  # fmt: skip
    params = {"tests": list(tests), "routes": meta["router"]["routes"], "ports": ports}
    return Operation("smoke", f"{len(tests)} requests through the Services", params)


def _changes(cluster: str, chosen: Mapping[str, Any], live: str | None) -> list[Change]:
    made = chosen["set"]
    made_with = f", made with release {made['release']}" if made["release"] else ""
    changes = [Change(cluster, "backup", f"{made['id']} of {chosen['at']}{made_with}")]
    for part in chosen["parts"]:
        words = f"{part['service']} ({part['kind']}): replaced, {part['bytes'] / 1e6:.1f} MB"
        changes.append(Change(cluster, "data", words))
    if live is None:
        changes.append(Change("", "release", "none is live: a deploy then finds the data"))
    return changes
