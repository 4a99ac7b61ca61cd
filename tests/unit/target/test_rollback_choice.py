"""Which release a rollback goes to, and how it gets there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.target.compose import rollback
from slipway.target.compose.request import Request
from tests.support import values


def at(day: int) -> str:
    return f"2026-01-{day:02d}T00:00:00.000Z"


def request(
    folder: Path, live: str, days: dict[str, int], *, stopped: tuple[str, ...] = (), **marks: dict[str, Any]
) -> Request:
    """Return a request for a host with releases v1, v2... that were activated on those days; `marks` are more facts of them."""
    draft = values.request(folder, {"app1": values.facts()})
    made = {v: values.release(draft, v) for v in days}
    metas = {v: values.recorded(draft, m, activated_run=days[v], **marks.get(v, {})) for v, m in made.items()}
    others = [m for v, m in metas.items() if v != live]
    found = values.serving(draft, made[live], *others)
    raw = {**found.raw, "releases": {m["id"]: m for m in metas.values()}}
    gone = {made[v].id for v in stopped}
    raw["containers"] = [
        {**c, "state": "exited"} if c["release"] in gone else c for c in raw["containers"]
    ]  # fmt: skip
    return values.request(folder, {"app1": values.facts(**raw)})


def chosen(request_: Request, to: str | None = None) -> str:
    return rollback.choose(request_, to).rpartition("-")[0]


def test_the_newest_before_the_live_one(tmp_path: Path) -> None:
    assert chosen(request(tmp_path, "v3", {"v1": 1, "v2": 2, "v3": 3})) == "v2"


def test_twice_goes_further_back(tmp_path: Path) -> None:
    """After a rollback from v3 to v2 the one to go to is v1: v3 was activated later, whatever was left last."""
    assert chosen(request(tmp_path, "v2", {"v1": 1, "v2": 2, "v3": 3}, v3={"deactivated_at": at(4)})) == "v1"


def test_one_that_was_killed_after_its_switch_is_ended_not_followed(tmp_path: Path) -> None:
    found = request(tmp_path, "v2", {"v1": 1, "v2": 2, "v3": 3})
    facts = found.facts["app1"]
    cut = {"verb": "rollback", "release": facts.live()}
    again = values.request(tmp_path, {"app1": values.facts(**{**facts.raw, "unfinished": cut})})
    assert chosen(again) == "v2"
    plan = rollback.plan_rollback(again, rollback.choose(again, None))
    assert [p.title for p in plan.phases] == ["Switch", "Smoke tests", "Verify"]
    assert plan.revert == ()
    other = {"verb": "rollback", "release": rollback.choose(found, None)}  # killed before its switch
    again = values.request(tmp_path, {"app1": values.facts(**{**facts.raw, "unfinished": other})})
    assert chosen(again) == "v1"


def test_only_verified_ones(tmp_path: Path) -> None:
    assert chosen(request(tmp_path, "v3", {"v1": 1, "v2": 2, "v3": 3}, v2={"verified": False})) == "v1"


def test_none_is_left(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no earlier verified release") as caught:
        chosen(request(tmp_path, "v1", {"v1": 1, "v2": 2}))
    assert re.search(r"inv rollback --env here --to v2-\w+ .*inv deploy --env here --version", caught.value.todo)
    assert caught.value.exit_code == 2


def test_any_that_is_kept_by_name(tmp_path: Path) -> None:
    found = request(tmp_path, "v2", {"v1": 1, "v2": 2, "v3": 3})
    names = {r.rpartition("-")[0]: r for r in found.facts["app1"].releases}
    assert rollback.choose(found, names["v3"]) == names["v3"]
    for wrong in ("nothing", names["v2"]):
        with pytest.raises(BadInput, match="is not kept"):
            rollback.choose(found, wrong)


def test_it_has_to_be_on_every_host(tmp_path: Path) -> None:
    one = request(tmp_path, "v3", {"v1": 1, "v2": 2, "v3": 3}).facts["app1"]
    releases = {r: m for r, m in one.releases.items() if not r.startswith("v2-")}
    two = values.facts("app2", **{**one.raw, "releases": releases})
    assert chosen(values.request(tmp_path, {"app1": one, "app2": two})) == "v1"


def test_a_warm_one_is_a_switch(tmp_path: Path) -> None:
    found = request(tmp_path, "v2", {"v1": 1, "v2": 2})
    target = rollback.choose(found, None)
    plan = rollback.plan_rollback(found, target)
    assert [p.title for p in plan.phases] == ["Switch", "Smoke tests", "Verify"]
    switch = plan.phases[0].hosts["app1"]
    assert [o.kind for o in switch[:2]] == ["router.ensure", "router.apply"], "it may have been stopped"
    assert not switch[1].params.get("activate"), "a rollback is no new activation"
    assert plan.phases[-1].verify == "rollback"
    assert [o.kind for p in plan.revert for o in p.hosts["app1"] if o.kind == "release.note"] == [], (
        "v1 is no bad release"
    )


def test_a_stopped_one_is_started_and_gated_first(tmp_path: Path) -> None:
    found = request(tmp_path, "v2", {"v1": 1, "v2": 2}, stopped=("v1",))
    plan = rollback.plan_rollback(found, rollback.choose(found, None))
    assert [p.title for p in plan.phases][:3] == ["Prepare hosts", "Start and wait for health", "Switch"]
    (up,) = plan.phases[1].hosts["app1"]
    assert (up.kind, up.params["recreate"]) == ("release.up", False)


def test_one_that_the_timer_stops_at_this_moment_is_a_stopped_one(tmp_path: Path) -> None:
    found = request(tmp_path, "v2", {"v1": 1, "v2": 2}, v1={"stopped_at": at(3)})
    plan = rollback.plan_rollback(found, rollback.choose(found, None))
    assert "Start and wait for health" in [p.title for p in plan.phases]


def test_todays_secret(tmp_path: Path) -> None:
    """A warm release with an old credential is given today's, and restarted for it."""
    old = {"secrets": {"token": "mac-of-an-old-one"}}
    found = request(tmp_path, "v2", {"v1": 1, "v2": 2}, v1=old)
    plan = rollback.plan_rollback(found, rollback.choose(found, None))
    prepare = {o.kind: o for o in plan.phases[0].hosts["app1"]}
    assert prepare["secrets.rotate"].params["secrets"]["token"] == {
        "value": values.SECRETS["token"], "readers": ["0", "10001"],
    }  # fmt: skip
    assert plan.phases[1].hosts["app1"][0].params["recreate"] is True
    assert "secret on app1: token: today's value" in "\n".join(plan.lines())
    assert values.SECRETS["token"] not in "\n".join(plan.lines())
