"""After a restore: the data are there, nothing is left of the work, and the services that use them run."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from testinfra.host import Host


def run(host: Host, *argv: str) -> Any:
    """Run a command with its words quoted."""
    return host.run(" ".join(["%s"] * len(argv)), *argv)


def containers(host: Host, stack: str, **labels: str) -> list[dict[str, Any]]:
    """Return the running containers of a stack."""
    wanted = {"slipway.stack": stack, **{f"slipway.{k}": v for k, v in labels.items()}}
    filters = [w for k, v in wanted.items() for w in ("--filter", f"label={k}={v}")]
    ids = run(host, "docker", "ps", "--quiet", *filters).stdout.split()
    return list(json.loads(run(host, "docker", "inspect", *ids).stdout)) if ids else []


@pytest.fixture(scope="module")
def kept(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What was restored, on the host that has it."""
    if os.environ["SLIPWAY_VERIFY_HOST"] != facts["first"]:
        pytest.skip("the data are on another host")
    return list(facts["kept"])


def accessory(host: Host, stack: str, service: str) -> dict[str, Any]:
    found = containers(host, stack, service=service, role="accessory")
    assert found, f"{service} does not run"
    return found[0]


def test_databases_have_their_tables_and_nothing_is_left_beside(
    host: Host, facts: dict[str, Any], kept: list[dict[str, Any]]
) -> None:
    for one in kept:
        if one["kind"] != "postgres" or one["host"]:
            continue
        box = accessory(host, facts["stack"], one["service"])["Id"]
        ask = ["docker", "exec", box, "psql", "-XAtU", one["user"], "-d", one["database"], "-c"]
        names = run(host, *ask, "SELECT datname FROM pg_database").stdout.split("\n")
        left = [n for n in names if n.endswith(("__slipway_new", "__slipway_old"))]
        assert not left, f"{one['service']} still has the databases {', '.join(left)}"
        sql = "SELECT count(*) FROM pg_stat_user_tables"
        tables = run(host, *ask, sql).stdout.strip()
        wanted = facts["tables"][one["service"]]
        assert tables.isdigit(), f"{one['service']} does not answer"
        assert int(tables) >= wanted, f"{one['service']} has {tables} tables, {wanted} were backed up"


def test_stores_answer(host: Host, facts: dict[str, Any], kept: list[dict[str, Any]]) -> None:
    for one in kept:
        if one["kind"] == "redis":
            state = accessory(host, facts["stack"], one["service"])["State"]
            health = (state.get("Health") or {}).get("Status", "healthy")
            assert health == "healthy", f"{one['service']} is {health}"


def test_files_are_there_and_nothing_is_left_beside(
    host: Host, facts: dict[str, Any], kept: list[dict[str, Any]]
) -> None:
    for one in kept:
        for target in facts["targets"].get(one["service"], []) if one["kind"] == "files" else ():
            mount = f"{target['volume']}:{target['mount']}:ro"
            look = [
                "docker",
                "run",
                "--rm",
                "--network",
                "none",
                "--volume",
                mount,
                "--entrypoint",
                "sh",
                facts["image"],
            ]
            script = 'find "$1" -type f | wc -l; ls -A "$2"'
            count, *names = run(host, *look, "-c", script, "sh", target["path"], target["mount"]).stdout.split("\n")
            assert int(count) > 0, f"{target['path']} of {one['service']} is empty"
            left = [n for n in names if n.startswith(".slipway-")]
            assert not left, f"{', '.join(left)} is left in {target['volume']}"


def test_apps_run(host: Host, facts: dict[str, Any]) -> None:
    if not facts["release"]:
        pytest.skip("no release is live")
    folder = f"/var/lib/slipway/stacks/{facts['stack']}/releases/{facts['release']}/release.json"
    meta = json.loads(host.check_output("cat %s", folder))
    running = containers(host, facts["stack"], release=facts["release"], role="app")
    for name, service in meta["services"].items():
        if service["role"] == "app":
            count = sum(c["Config"]["Labels"]["slipway.service"] == name for c in running)
            assert count >= service["replicas"], f"{count} of {service['replicas']} of {name} run"


def test_nothing_of_the_work_runs(host: Host, facts: dict[str, Any]) -> None:
    left = run(
        host,
        "docker",
        "ps",
        "--all",
        "--quiet",
        "--filter",
        "label=slipway.task",
        "--filter",
        f"label=slipway.stack={facts['stack']}",
    ).stdout.split()
    assert not left, f"throw-away containers are left: {', '.join(left)}"
