"""A deployed release: its containers, its secrets, its share in the router, its answer at the front door."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import pytest

from tests.verify.look import Release


def test_replicas_run(release: Release, facts: dict[str, Any], service: str) -> None:
    states = [f"{c['Name'].lstrip('/')} {c['State']['Status']}" for c in release.of(service, facts["release"])]
    running = release.running(service, facts["release"])
    wanted = facts["services"][service]["replicas"]
    assert len(running) == wanted, f"{len(running)} of {wanted} run: {', '.join(states) or 'no container'}"


def test_containers_are_healthy(release: Release, facts: dict[str, Any], service: str) -> None:
    # The front door's answers prove a service that is asked by HTTP; its own check may not have come round yet.
    asked = facts["services"][service]["health"]
    _check_health(release.of(service, facts["release"]), {"healthy", "starting"} if asked else {"healthy"})


def test_accessory_runs(release: Release, accessory: str) -> None:
    assert release.running(accessory), f"{accessory} does not run"
    _check_health(release.of(accessory))


def _check_health(containers: list[dict[str, Any]], well: Set[str] = frozenset({"healthy"})) -> None:
    states = {c["Name"].lstrip("/"): (c["State"].get("Health") or {}).get("Status", "healthy") for c in containers}
    ill = {name: state for name, state in states.items() if state not in well}
    assert not ill, ", ".join(f"{name} is {state}" for name, state in ill.items())


def test_image_is_the_digest_that_was_deployed(release: Release, facts: dict[str, Any], service: str) -> None:
    wanted = facts["services"][service]["digest"]
    for container in release.running(service, facts["release"]):
        names = release.images[container["Image"]]
        assert any(name.endswith(f"@{wanted}") for name in names), f"{container['Name']} runs {names}, not {wanted}"


def test_accessory_image_is_the_one_named(release: Release, facts: dict[str, Any], accessory: str) -> None:
    wanted = facts["accessories"][accessory]["image"]
    for container in release.running(accessory):
        names = [container["Config"]["Image"], *release.images[container["Image"]]]
        assert wanted in names, f"{container['Name']} runs {names}, not {wanted}"


def test_containers_have_no_power_over_the_host(release: Release) -> None:
    found = []
    for container in release.containers:
        config = container["HostConfig"]
        mounts = {str(mount.get("Source", "")) for mount in container["Mounts"]}
        powers = {
            "is privileged": config["Privileged"],
            "sees the host's processes": config["PidMode"] == "host",
            "is on the host's network": config["NetworkMode"] == "host",
            "holds the engine's socket": bool(mounts & {"/var/run/docker.sock", "/run/docker.sock"}),
        }
        found += [f"{container['Name'].lstrip('/')} {power}" for power, has in powers.items() if has]
    assert not found, "; ".join(found)


def test_secrets_are_files_not_variables(release: Release) -> None:
    assert not release.leaks, "; ".join(release.leaks)


def test_secret_files_are_closed(release: Release) -> None:
    told = []
    for file in release.secret_files:
        world = {"other::---", "group::---"} <= set(file["acl"]) and not file["mode"] & 0o007
        if not (world and file["mine"]):
            told.append(f"{file['path']} has mode {file['mode']:04o} and {', '.join(file['acl'])}")
    assert not told, "; ".join(told)


def test_router_runs(release: Release) -> None:
    assert release.router, "there is no container slipway-proxy"
    assert release.router["State"]["Running"], f"slipway-proxy is {release.router['State']['Status']}"
    assert not release.router_says, f"its socket does not answer: {release.router_says}"
    assert release.door, "there is no container slipway-door"
    assert release.door["State"]["Running"], f"slipway-door is {release.door['State']['Status']}"


def test_router_gives_the_shares(release: Release, facts: dict[str, Any], routed: str) -> None:
    backend = f"{facts['stack']}:{routed}"
    for name, wanted in facts["shares"].items():
        share = release.share(backend, name)
        told = ", ".join(f"{s['name']} {s['status']} weight {s['weight']}" for s in release.servers_of(backend))
        assert share == pytest.approx(wanted, abs=1), (
            f"{name} gets {share:.0f}%, not {wanted}% ({told or 'no servers'})"
        )


def test_every_replica_takes_requests(release: Release, facts: dict[str, Any], routed: str) -> None:
    servers = release.servers_of(f"{facts['stack']}:{routed}")
    serving = [s for s in servers if s["release"] == facts["release"] and s["up"] and s["weight"] > 0]
    wanted = facts["services"][routed]["replicas"] if facts["shares"].get(facts["release"], 0) else 0
    told = ", ".join(f"{s['name']} {s['status']} weight {s['weight']}" for s in servers)
    assert len(serving) >= wanted, f"{len(serving)} of {wanted} replicas take requests ({told or 'no servers'})"


def test_retired_releases_get_nothing(release: Release, facts: dict[str, Any], routed: str) -> None:
    live = [name for name, share in facts["shares"].items() if share]
    servers = release.servers_of(f"{facts['stack']}:{routed}")
    told = [f"{s['name']} weight {s['weight']}" for s in servers if s["weight"] and s["release"] not in live]
    assert not told, f"still in the router: {', '.join(told)}"


def test_front_door_answers(release: Release, facts: dict[str, Any], routed: str) -> None:
    front = release.front[routed]
    # Where a service names no path that says "ready", an answer of its own, be it 404, is all that can be asked for.
    limit = 400 if facts["services"][routed].get("health") else 500
    seen = f"GET {front['path']} on port {facts['port']}: {front['status']} {' '.join(front['body'].split())}"
    assert 200 <= front["status"] < limit, seen


def test_front_door_answers_with_a_live_release(release: Release, facts: dict[str, Any], routed: str) -> None:
    front = release.front[routed]
    live = {name for name, share in facts["shares"].items() if share}
    # A stack need not say which release answers; one that does must say a live one.
    seen = f"GET {front['path']}: X-Release {front['release']}, live: {', '.join(sorted(live))}"
    assert front["release"] in {None, *live}, seen
