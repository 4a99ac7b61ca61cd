"""The planner of restores: what happens in which order, with a release that serves and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway.data import restore_plan
from slipway.plan.operation import Phase, Plan
from tests.support import values

CHOSEN: dict[str, Any] = {
    "set": {"id": "20260101-000000-abcd", "release": "v0-123456"},
    "at": "2026-01-01T00:00:00.000Z",
    "parts": [{"service": "store", "kind": "redis", "bytes": 2_000_000}],
}
FILES = {"web": {"volumes": ["store:/app/papers"], "x-slipway": {
    "route": {"path": "/", "port": 8000}, "backup": {"kind": "files", "paths": ["/app/papers/in", "/app/server.py"]},
}}}  # fmt: skip


def plan(folder: Path, *, save: bool = True, live: bool = True, **more: Any) -> Plan:
    request = values.request(folder, {"app1": values.facts()}, **more)
    if live:
        facts = values.serving(request, values.release(request))
        request = values.request(folder, {"app1": facts}, **more)
    return restore_plan.plan_restore(request, CHOSEN, (), save=save)


def kinds(phases: tuple[Phase, ...]) -> list[str]:
    return [o.kind for phase in phases for o in phase.hosts["app1"]]


def test_what_serves_goes_on_until_the_backup_is_known_to_be_good(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert kinds(made.phases) == [
        "volumes.ensure", "restore.begin", "restore.load", "apps.stop", "restore.save", "restore.swap", "release.migrate",
        "release.up", "release.up", "release.up", "apps.served", "smoke.run",
    ]  # fmt: skip
    assert next(p.title for p in made.phases if p.felt) == restore_plan.PUT


def test_apps_start_in_the_order_of_a_deploy(tmp_path: Path) -> None:
    starts = [o for p in plan(tmp_path).phases for o in p.hosts["app1"] if o.kind == "release.up"]
    assert [[s["name"] for s in o.params["services"]] for o in starts] == [["web"], ["extra"], ["tick"]]


def test_a_failure_removes_what_was_loaded_and_starts_what_was_stopped(tmp_path: Path) -> None:
    assert kinds(plan(tmp_path).undo) == ["restore.tidy", "apps.resume"]


def test_without_a_safety_snapshot(tmp_path: Path) -> None:
    assert "restore.save" not in kinds(plan(tmp_path, save=False).phases)


def test_an_empty_environment_gets_its_accessories_first_and_no_app(tmp_path: Path) -> None:
    made = plan(tmp_path, live=False)
    assert kinds(made.phases)[:4] == ["images.pull", "router.ensure", "volumes.ensure", "accessories.apply"]
    assert not {"release.up", "release.migrate"} & set(kinds(made.phases))
    assert made.release == ""
    assert "a deploy then finds the data" in "\n".join(made.lines())


def test_where_files_go(tmp_path: Path) -> None:
    """Those in a volume into that volume, wherever it is mounted; those of an image nowhere."""
    _, _, stack = values.settings(tmp_path, services=FILES)
    assert restore_plan.targets(stack) == {
        "web": [{"path": "/app/papers/in", "volume": "slipway-probe-store", "mount": "/app/papers"}]
    }


def test_the_plan_says_what_is_replaced(tmp_path: Path) -> None:
    lines = "\n".join(plan(tmp_path).lines())
    assert "backup on app1: 20260101-000000-abcd of 2026-01-01T00:00:00.000Z, made with release v0-123456" in lines
    assert "data on app1: store (redis): replaced, 2.0 MB" in lines


def test_files_in_folders_of_the_host(tmp_path: Path) -> None:
    """They are put back there, and no volume is made of them."""
    web = {
        **FILES["web"],
        "volumes": [
            "store:/app/papers",
            "/srv/models:/models:ro",
            {"type": "bind", "source": "/srv/x", "target": "/x"},
        ],
    }
    web["x-slipway"] = {
        **FILES["web"]["x-slipway"],
        "backup": {"kind": "files", "paths": ["/models/good", "/x", "/app/papers"]},
    }
    request = values.request(tmp_path, {"app1": values.facts()}, services={"web": web})
    assert restore_plan.targets(request.stack) == {"web": [
        {"path": "/models/good", "volume": "/srv/models", "mount": "/models"},
        {"path": "/x", "volume": "/srv/x", "mount": "/x"},
        {"path": "/app/papers", "volume": "slipway-probe-store", "mount": "/app/papers"},
    ]}  # fmt: skip
    made = restore_plan.plan_restore(request, CHOSEN, (), save=True)
    ensure = next(o for p in made.phases for o in p.hosts["app1"] if o.kind == "volumes.ensure")
    assert ensure.params["names"] == ["slipway-probe-store"]
