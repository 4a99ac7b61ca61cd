"""The census finds what nothing accounts for, and lets be what has a reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from slipway.agent import weight
from tests.support.faults.census import Census, left_over

Raw = dict[str, Any]


def container(name: str, release: str = "", state: str = "running", **more: Any) -> Raw:
    role = "app" if release else "accessory"
    found = {"name": name, "state": state, "image": f"r/web@{release}" if release else "redis:8", "release": release}
    return {
        **found,
        "service": name.split("-")[-2],
        "job": False,
        "role": role,
        "stack": "probe",
        "shares": 1024,
        **more,
    }


def release(name: str, left: str = "", verified: bool = True) -> Raw:
    return {
        "stack": "probe", "id": name, "verified": verified, "recorded": True, "images": [f"r/web@{name}"], "left": left,
    }  # fmt: skip


def host() -> Raw:
    """Return a host as it should be: v3 serves, v2 is warm, v1 is kept."""
    return {
        "containers": [
            container("probe-v3-web-1", "v3"), container("probe-v2-web-1", "v2"), container("probe-v1-web-1", "v1", "exited"),
            container("probe-accessories-store-1"),
        ],
        "networks": ["bridge", "host", "none", "slipway-probe", *[f"release-probe-v{n}" for n in (1, 2, 3)]],
        "volumes": ["slipway-probe-store"],
        "images": [["redis:8"], ["r/web@v1"], ["r/web@v2"], ["r/web@v3"]],
        "pulls": [],
        "files": ["stacks/probe/fence", "stacks/probe/releases/v3/release.json"],
        "folders": ["stacks"],
        "temporary": [],
        "processes": [],
        "locks": [],
        "releases": [release("v1", "2026-01-01"), release("v2", "2026-01-02"), release("v3")],
        "servers": {"probe:web/v3.1": 100, "probe:web/v2.1": 0},
    }  # fmt: skip


def test_a_host_as_it_should_be() -> None:
    found = Census("probe", host())
    assert (found.live, found.warm, found.known) == ("v3", "v2", {"v1", "v2", "v3"})
    assert found.strays() == []
    assert left_over({"app1": found}, {"app1": found}) == []


STRAYS: dict[str, Callable[[Raw], Any]] = {
    "container probe-v0-web-1 (running)": lambda h: h["containers"].append(container("probe-v0-web-1", "v0")),
    "container probe-v1-web-1 (running)": lambda h: h["containers"][2].update(state="running"),
    "container probe-v3-web-1 (exited)": lambda h: h["containers"][0].update(state="exited"),
    "container probe-v3-job (running)": lambda h: h["containers"].append(container("probe-v3-job", "v3", job=True)),
    "container 12ab_probe-accessories-store-1 (created)": lambda h: h["containers"].append(
        container("12ab_probe-accessories-store-1", state="created")
    ),
    "container probe-v3-web-1 (running with the share of one that starts)": lambda h: h["containers"][0].update(
        shares=weight.STARTING
    ),
    "network release-probe-v0": lambda h: h["networks"].append("release-probe-v0"),
    "image r/web@v0": lambda h: h["images"].append(["r/web@v0"]),
    "image sha256:dangling": lambda h: h["images"].append(["sha256:dangling"]),
    "part of a pull: GetImageBlob1": lambda h: h["pulls"].append("GetImageBlob1"),
    "file stacks/probe/.fence.12": lambda h: h["files"].append("stacks/probe/.fence.12"),
    "process python3 current.pyz": lambda h: h["processes"].append("python3 current.pyz"),
    "lock stacks/probe/lease is held": lambda h: h["locks"].append("stacks/probe/lease"),
    "release v4": lambda h: h["releases"].append(release("v4", verified=False)),
    "no one release is live": lambda h: h["servers"].update({"probe:web/v2.1": 100}),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_what_was_left_over(stray: str) -> None:
    raw = host()
    STRAYS[stray](raw)
    assert any(found.startswith(stray) for found in Census("probe", raw).strays()), Census("probe", raw).strays()


def test_what_is_not_as_it_was() -> None:
    before, after = host(), copy.deepcopy(host())
    after["files"].append("stacks/probe/freeze.json")
    after["volumes"].append("6f1c")
    found = left_over({"app1": Census("probe", before)}, {"app1": Census("probe", after)})
    assert len(found) == 2
    assert "freeze.json" in found[0]
    assert "6f1c" in found[1]
