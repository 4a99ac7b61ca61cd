"""The plan of a deploy where a run before it was killed: what serves is read from the router, service by service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway.plan.operation import Operation, Plan
from slipway.target.compose import planner
from slipway.target.compose.request import Release, Request
from tests.support import values

RUN = {"verified": False, "activated_run": 2}


def between_phases(folder: Path, live: str = "v1", coming: str = "v2") -> tuple[Request, Release, Release]:
    """Return a request for a host where `web` has been switched to `coming` and `extra` has not, and both releases."""
    request = values.request(folder, {"app1": values.facts()})
    old, new = values.release(request, live), values.release(request, coming)
    meta = values.recorded(request, new, **RUN)
    found = values.serving(request, old, meta)
    raw = dict(found.raw)
    raw["containers"] = [c for c in raw["containers"] if c["release"] != new.id or c["service"] == "web"]
    shares = {"web": {old.id: 0.0, new.id: 100.0}, "extra": {old.id: 100.0}}
    raw["router"] = {**raw["router"], "shares": shares, "weights": {"web": {new.id: 200}, "extra": {old.id: 200}}}
    return values.request(folder, {"app1": values.facts(**raw)}), old, new


def switch(plan: Plan, phase: int) -> dict[str, dict[str, int]]:
    """Return the weights that a phase's switch gives, by release."""
    (found,) = [p for p in plan.phases if p.title == f"Switch (phase {phase})"]
    apply = next(o for o in found.hosts["app1"] if o.kind == "router.apply")
    return {r["id"]: r["weights"] for r in apply.params["wanted"]["releases"]}


def test_what_is_not_switched_stays_with_the_release_that_has_it(tmp_path: Path) -> None:
    """Whatever the ids are: one of the two sorts first."""
    for live, coming in (("v1", "v2"), ("z1", "a2")):
        request, old, new = between_phases(tmp_path, live, coming)
        assert request.facts["app1"].live() == old.id, "it was verified; the other one never came so far"
        again = planner.plan_deploy(request, new)
        assert switch(again, 1) == {old.id: {"web": 0, "extra": 100}, new.id: {"web": 100}}
        assert switch(again, 2) == {old.id: {"web": 0, "extra": 0}, new.id: {"web": 100, "extra": 100}}
        assert (again.before, bool(again.revert)) == (old.id, True)
        third = values.release(request, "v3")
        other = planner.plan_deploy(request, third)
        assert switch(other, 1)[old.id] == {"web": 0, "extra": 100}
        assert switch(other, 1)[third.id] == {"web": 100}


def test_who_gets_requests_is_never_waited_for_or_stopped(tmp_path: Path) -> None:
    request, _, new = between_phases(tmp_path)
    raw = request.facts["app1"].raw
    busy = values.facts(**{**raw, "router": {**raw["router"], "open": {new.id: 9}}})
    tight = values.request(tmp_path, {"app1": busy}, environment={"max_draining": 1})
    plan = planner.plan_deploy(tight, values.release(tight, "v3"))
    assert not [o for p in plan.phases for ops in p.hosts.values() for o in ops if o.kind == "release.drain"]


def whole(folder: Path, **of_the_first: Any) -> tuple[Request, Release, Release]:
    """Return a request for a host that serves v2, switched to by a run that was killed before it had verified it."""
    request = values.request(folder, {"app1": values.facts()})
    one, two = values.release(request, "v1"), values.release(request, "v2")
    found = values.serving(request, two, values.recorded(request, one, **of_the_first))
    releases = {**found.releases, two.id: {**found.releases[two.id], **RUN}}
    return values.request(folder, {"app1": values.facts(**{**found.raw, "releases": releases})}), one, two


def test_an_unverified_release_still_has_a_way_back(tmp_path: Path) -> None:
    request, one, two = whole(tmp_path)
    plan = planner.plan_deploy(request, two)
    assert plan.before == one.id
    back = {o.kind: o for o in plan.revert[0].hosts["app1"]}
    assert {r["id"]: r["weights"]["web"] for r in back["router.apply"].params["wanted"]["releases"]} == {
        one.id: 100,
        two.id: 0,
    }


def test_but_not_to_one_that_does_not_run(tmp_path: Path) -> None:
    request, _, two = whole(tmp_path, stopped_at="2026-01-02T00:00:00.000Z")
    assert planner.plan_deploy(request, two).revert == ()


def test_a_worker_that_the_release_has_no_more_is_ended(tmp_path: Path) -> None:
    request = values.request(tmp_path, {"app1": values.facts()})
    old = values.release(request, "v1")
    found = values.serving(request, old)
    meta = found.releases[old.id]
    services = {**meta["services"], "gone": {**meta["services"]["tick"], "name": "gone"}}
    container = {**found.raw["containers"][-1], "name": f"probe-{old.id}-gone-1", "service": "gone"}
    raw = {**found.raw, "releases": {old.id: {**meta, "services": services}}}
    raw["containers"] = [*raw["containers"], container]
    now = values.request(tmp_path, {"app1": values.facts(**raw)})
    plan = planner.plan_deploy(now, values.release(now, "v2"))
    stops: list[Operation] = [o for p in plan.phases for o in p.hosts.get("app1", ()) if o.kind == "services.stop"]
    assert [o.params["services"] for o in stops] == [["tick", "gone"]]
