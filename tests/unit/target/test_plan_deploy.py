"""The plan of a deploy, as a value: what is done where, in which order, and the ways back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.plan.operation import Operation, Plan
from slipway.target.compose import changes, planner, rollback
from slipway.target.compose.request import Release, Request, drain_limit
from tests.support import values


def plan(request: Request, version: str = "v2", images: dict[str, str] | None = None) -> Plan:
    return planner.plan_deploy(request, values.release(request, version, images or values.DIGESTS))


def serving(folder: Path, *hosts: str, **more: Any) -> tuple[Request, Release]:
    """Return a request for hosts that serve v1 already, and v1."""
    names = hosts or ("app1",)
    first = values.request(folder, {h: values.facts(h) for h in names}, **more)
    one = values.release(first, "v1")
    found = {h: values.serving(first, one, host=h) for h in names}
    return values.request(folder, found, **more), one


def operations(plan_: Plan, title: str, host: str = "app1") -> dict[str, Operation]:
    (phase,) = [p for p in plan_.phases if p.title == title]
    return {o.kind: o for o in phase.hosts.get(host, ())}


def test_a_first_deploy(tmp_path: Path) -> None:
    found = plan(values.request(tmp_path, {"app1": values.facts()}))
    assert [p.title for p in found.phases] == [
        "Prepare hosts", "Migrate", "Start and wait for health (phase 1)", "Switch (phase 1)",
        "Start and wait for health (phase 2)", "Switch (phase 2)", "Smoke tests", "Verify",
    ]  # fmt: skip
    assert found.before is None
    prepare = operations(found, "Prepare hosts")
    assert "accessories.apply" in prepare
    assert prepare["images.pull"].params["images"] == sorted([*values.DIGESTS.values(), "haproxy:3.0", "redis:8"])
    assert values.kinds(found.undo[0].hosts["app1"]) == ["release.remove"]
    assert found.revert == (), "there is nothing to go back to"
    assert [p.switched for p in found.phases] == [False, False, False, True, True, True, True, True]


def test_a_later_deploy_leaves_accessories_alone(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    found = plan(request)
    assert found.before == one.id
    every = [o for p in found.phases for ops in p.hosts.values() for o in ops]
    assert "accessories.apply" not in values.kinds(every)
    assert "redis:8" not in operations(found, "Prepare hosts")["images.pull"].params["images"]


def test_phases_are_switched_one_after_the_other(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    found = plan(request)
    first = operations(found, "Switch (phase 1)")["router.apply"].params["wanted"]["releases"]
    weights = {r["id"]: r["weights"] for r in first}
    assert weights[one.id] == {"web": 0, "extra": 100}
    assert weights[found.release] == {"web": 100}
    servers = {r["id"]: r["servers"] for r in first}[found.release]
    assert set(servers) == {"web"}, "what has not been started is not in the router"
    second = operations(found, "Switch (phase 2)")["router.apply"].params["wanted"]["releases"]
    assert {r["id"]: r["weights"] for r in second} == {
        one.id: {"web": 0, "extra": 0}, found.release: {"web": 100, "extra": 100},
    }  # fmt: skip
    assert [
        s["name"] for s in operations(found, "Start and wait for health (phase 1)")["release.up"].params["services"]
    ] == ["web"]


def test_a_path_that_moves_does_so_when_its_service_is_switched(tmp_path: Path) -> None:
    """And one that is given up leads where it led until the last service is switched."""
    request, _ = serving(tmp_path)
    before = {"web": "/", "extra": "/extra"}
    moved = {"role": "app", "phase": 2, "route": {"path": "/moved", "port": 8000}}
    now = values.request(tmp_path, dict(request.facts), services={"extra": {"x-slipway": moved}})
    found = plan(now)
    first, second = (operations(found, f"Switch (phase {n})")["router.apply"].params["wanted"] for n in (1, 2))
    assert {r["service"]: r["path"] for r in first["routes"]} == before
    assert {r["service"]: r["path"] for r in second["routes"]} == {**before, "extra": "/moved"}


def test_a_worker_starts_after_the_gate_and_the_old_one_ends_after_the_switch(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    found = plan(request)
    (phase,) = [p for p in found.phases if p.title == "Start and wait for health (phase 2)"]
    assert [[s["name"] for s in o.params["services"]] for o in phase.hosts["app1"]] == [["extra"], ["tick"]]
    stop = operations(found, "Switch (phase 2)")["services.stop"].params
    assert (stop["release"], stop["services"]) == (one.id, ["tick"])


def test_the_way_back_after_the_switch(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    found = plan(request)
    assert found.revert[0].title == f"Roll back to {one.id}"
    back = {o.kind: o for o in found.revert[0].hosts["app1"]}
    weights = {r["id"]: r["weights"] for r in back["router.apply"].params["wanted"]["releases"]}
    assert weights == {one.id: {"web": 100, "extra": 100}, found.release: {"web": 0, "extra": 0}}
    assert back["release.note"].params == {"release": found.release, "facts": {"failed": True}}
    assert back["services.stop"].params["release"] == found.release


def test_a_release_that_was_kept_is_stopped_again_not_removed(tmp_path: Path) -> None:
    """Deploying a version that a host has kept, and failing, must not cost that version."""
    request, _ = serving(tmp_path)
    kept = values.release(request, "v0")
    facts = request.facts["app1"]
    known = {**facts.releases, kept.id: values.recorded(request, kept, stopped_at="2026-01-02T00:00:00.000Z")}
    again = values.request(tmp_path, {"app1": values.facts(**{**facts.raw, "releases": known})})
    assert values.kinds(planner.plan_deploy(again, kept).undo[0].hosts["app1"]) == ["release.rest"]
    never = values.request(tmp_path, {"app1": values.facts(**{**facts.raw, "releases": known, "leftovers": [kept.id]})})
    assert values.kinds(planner.plan_deploy(never, kept).undo[0].hosts["app1"]) == ["release.remove"]


JOB = {"build": "./web", "x-slipway": {"role": "job"}}
JOBS = {"seed": {**JOB, "x-slipway": {"role": "job", "phase": 2}}, "warm": JOB, "again": JOB}
JOB_IMAGES = {**values.DIGESTS, **{name: f"registry.lab:5000/probe/{name}@sha256:{'e' * 64}" for name in JOBS}}


def test_jobs_run_once_after_the_migrations_and_before_the_release_starts(tmp_path: Path) -> None:
    """By phase, then as the file has them; on the first host; what they need has been brought before."""
    request = values.request(tmp_path, {h: values.facts(h) for h in ("app1", "app2")}, services=JOBS)
    found = plan(request, images=JOB_IMAGES)
    assert [p.title for p in found.phases][:4] == [
        "Prepare hosts", "Migrate", "Run jobs", "Start and wait for health (phase 1)",
    ]  # fmt: skip
    (phase,) = [p for p in found.phases if p.title == "Run jobs"]
    assert [p.kind for p in phase.hosts["app1"]] == ["release.run"] * 3
    assert [o.params["service"] for o in phase.hosts["app1"]] == ["warm", "again", "seed"]
    assert {o.params["release"] for o in phase.hosts["app1"]} == {found.release}
    assert set(phase.hosts) == {"app1"}
    assert not phase.switched, "one that fails leaves the old release serving"
    assert "     app1: run warm; run again; run seed" in found.lines()
    assert JOB_IMAGES["seed"] in operations(found, "Prepare hosts")["images.pull"].params["images"]
    every = [o for p in found.phases for ops in p.hosts.values() for o in ops if o.kind == "release.up"]
    assert not {s["name"] for o in every for s in o.params["services"]} & set(JOBS), "a job is not started as a service"


def test_jobs_are_for_deploys_alone(tmp_path: Path) -> None:
    request = values.request(tmp_path, {"app1": values.facts()}, services=JOBS)
    one, two = (values.release(request, v, JOB_IMAGES) for v in ("v1", "v2"))
    before = values.recorded(request, one, activated_at="2025-01-01T00:00:00.000Z")
    serving_two = values.request(tmp_path, {"app1": values.serving(request, two, before)}, services=JOBS)
    plans = [rollback.plan_rollback(serving_two, one.id), planner.plan_migrate(serving_two, one)]
    assert [
        o for p in plans for ph in p.phases for ops in ph.hosts.values() for o in ops if o.kind == "release.run"
    ] == []
    assert changes.unchanged(serving_two, two, named=False), "a job that is over is nothing that is missing"


def test_two_hosts(tmp_path: Path) -> None:
    """Jobs and accessories are the first host's; the second reaches the accessories at the first's address."""
    request = values.request(tmp_path, {h: values.facts(h) for h in ("app1", "app2")})
    found = plan(request)
    (migrate,) = [p for p in found.phases if p.title == "Migrate"]
    assert set(migrate.hosts) == {"app1"}
    assert "accessories.apply" in operations(found, "Prepare hosts", "app1")
    assert "accessories.apply" not in operations(found, "Prepare hosts", "app2")
    files = {h: operations(found, "Prepare hosts", h)["release.write"].params["compose"] for h in ("app1", "app2")}
    assert "store: 192.0.2.1" in files["app2"]
    assert "192.0.2.1" not in files["app1"]
    for phase in found.phases:
        assert set(phase.hosts) <= {"app1", "app2"}
        assert phase.verify or phase.title == "Migrate" or len(phase.hosts) == 2


def test_mending_the_live_release_removes_nothing(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    found = planner.plan_deploy(request, one)
    assert (found.release, found.before, found.undo, found.revert) == (one.id, one.id, (), ())
    assert not [o for p in found.phases for ops in p.hosts.values() for o in ops if o.kind == "services.stop"]
    servers = operations(found, "Switch (phase 1)")["router.apply"].params["wanted"]["releases"][-1]["servers"]
    assert set(servers) == {"web", "extra"}, "what serves keeps its servers"


@pytest.mark.parametrize(("cut", "limit"), [(False, 120.0), (True, 0.0)])
def test_too_many_that_drain(tmp_path: Path, cut: bool, limit: float) -> None:
    """With two places, and the live one about to drain, the oldest of two is waited for; `--cut` does not wait."""
    request, one = serving(tmp_path)
    old = [
        values.recorded(request, values.release(request, v), deactivated_run=run, drain=120.0)
        for v, run in (("newer", 12), ("oldest", 7))
    ]
    busy = {**values.serving(request, one).router, "open": {o["id"]: 3 for o in old}}
    found = values.serving(request, one, *old, router=busy)
    wait = operations(plan(values.request(tmp_path, {"app1": found}, cut=cut)), "Prepare hosts")["release.drain"]
    assert wait.params["release"] == old[1]["id"]
    assert wait.params["limit"] == pytest.approx(limit)


def test_what_the_router_and_the_gate_are_told(tmp_path: Path) -> None:
    """Each of these settings changes what a host is told."""
    extras = {"route": {"path": "/", "port": 9000, "timeout": "2m"}, "drain": "5m",
              "health": {"live": "/live", "ready": "/ready", "start_within": "7s"}}  # fmt: skip
    entry = {"name": "probe", "port": 8310, "domain": "probe.example", "replicas": {"web": 3}}
    request = values.request(
        tmp_path, {"app1": values.facts()}, services={"web": {"x-slipway": extras}}, environment={"stacks": [entry]}
    )
    found = plan(request)
    wanted = operations(found, "Switch (phase 2)")["router.apply"].params["wanted"]
    assert (wanted["port"], wanted["domain"]) == (8310, "probe.example")
    assert drain_limit(request.stack) == 300
    assert wanted["routes"][0] == {"service": "web", "path": "/", "timeout": 120.0}
    (one,) = wanted["releases"]
    assert (one["ports"]["web"], one["live"]["web"], len(one["servers"]["web"])) == (9000, "/live", 3)
    (gate,) = operations(found, "Start and wait for health (phase 1)")["release.up"].params["services"]
    assert {k: gate[k] for k in ("name", "replicas", "port", "ready", "start_within")} == {
        "name": "web", "replicas": 3, "port": 9000, "ready": "/ready", "start_within": 7.0,
    }  # fmt: skip
    (smoke,) = operations(found, "Smoke tests").values()
    assert (smoke.params["port"], smoke.params["domain"]) == (8310, "probe.example")


@pytest.mark.parametrize(("most", "waits"), [(1, 2), (2, 1), (3, 0)])
def test_max_draining_says_how_many_drain_side_by_side(tmp_path: Path, most: int, waits: int) -> None:
    request, one = serving(tmp_path)
    old = [
        values.recorded(request, values.release(request, v), deactivated_at=f"2026-01-0{n}")
        for n, v in enumerate(("first", "second"), 1)
    ]
    busy = {**values.serving(request, one).router, "open": {o["id"]: 3 for o in old}}
    found = values.serving(request, one, *old, router=busy)
    prepared = plan(values.request(tmp_path, {"app1": found}, environment={"max_draining": most})).phases[0]
    assert values.kinds(prepared.hosts["app1"]).count("release.drain") == waits


def test_settle_is_a_step(tmp_path: Path) -> None:
    found = plan(values.request(tmp_path, {"app1": values.facts()}, environment={"settle": "10s"}))
    assert operations(found, "Watch for 10 s")["release.watch"].params["seconds"] == 10


def test_a_plan_never_shows_a_secret(tmp_path: Path) -> None:
    request, _ = serving(tmp_path)
    found = plan(request)
    shown = "\n".join(found.lines()) + repr(found) + repr(request)
    assert values.SECRETS["token"] not in shown
    sent = [o.message() for p in found.phases for ops in p.hosts.values() for o in ops]
    assert values.SECRETS["token"] in repr(sent), "the host gets it"


def change(request: Request, release: Release) -> list[tuple[str, str]]:
    return [(c.what, c.text) for c in changes.changes(request, release)]


def test_what_a_plan_shows(tmp_path: Path) -> None:
    request, one = serving(tmp_path, migrations=("001_begin", "002_more"))
    known = {one.id: {**values.recorded(request, one), "migrations": ["001_begin"]}}
    found = values.serving(request, one, releases=known)
    env = {"stacks": [{"name": "probe", "port": 8300, "settings": {"GREETING": "salve"}}]}
    now = values.request(
        tmp_path, {"app1": found}, environment=env, secrets={"token": "another"}, migrations=("001_begin", "002_more")
    )
    images = {**values.DIGESTS, "web": f"registry.lab:5000/probe/web@sha256:{'d' * 64}"}
    shown = change(now, values.release(now, "v2", images))
    assert (
        "image",
        "web: registry.lab:5000/probe/web@aaaaaaaaaaaa → registry.lab:5000/probe/web@dddddddddddd",
    ) in shown
    assert ("secret", "token: another value") in shown
    assert [what for what, text in shown if "002_more" in text] == ["migration"]
    assert not [text for _, text in shown if "001_begin" in text]
    (diff,) = [text for what, text in shown if what == "settings"]
    assert "-      GREETING: hello" in diff.splitlines()
    assert "+      GREETING: salve" in diff.splitlines()
    assert "sha256" not in diff, "images are told apart"
    assert [what for what, _ in shown if what == "accessories"], "they differ from what was applied"


def test_nothing_to_show(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    assert [c for c in change(request, one) if c[0] != "accessories"] == []


def unchanged(request: Request, release: Release, named: bool = False) -> bool:
    return changes.unchanged(request, release, named)


def test_the_same_again_is_no_change(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    assert unchanged(request, one)
    other = values.release(request, "v2")
    assert unchanged(request, other), "another revision with equal digests and settings"
    assert not unchanged(request, other, named=True), "a name that was given is a release of its own"


def test_what_makes_it_a_change(tmp_path: Path) -> None:
    request, one = serving(tmp_path)
    whole = request.facts["app1"].raw

    def with_(**different: Any) -> Request:
        return values.request(tmp_path, {"app1": values.facts(**{**whole, **different})})

    meta = whole["releases"][one.id]
    cases = {
        "a container is gone": with_(containers=whole["containers"][:-1]),
        "one is not healthy": with_(containers=[{**c, "health": "unhealthy"} for c in whole["containers"]]),
        "another image runs": with_(containers=[{**c, "image": "other"} for c in whole["containers"]]),
        "the shares are others": with_(router={**whole["router"], "shares": {"web": {one.id: 50.0}, "extra": {one.id: 100.0}}}),
        "the router is away": with_(router={**whole["router"], "answers": False}),
        "a run stopped half way": with_(unfinished={"verb": "deploy"}),
        "it was never verified": with_(releases={one.id: {**meta, "verified": False}}),
        "a secret is another": with_(releases={one.id: {**meta, "secrets": {"token": "0"}}}),
    }  # fmt: skip
    assert {words: unchanged(r, one) for words, r in cases.items()} == dict.fromkeys(cases, False)
    assert unchanged(with_(), one)
    starting = [{**c, "health": "starting"} if c["service"] == "web" else c for c in whole["containers"]]
    assert unchanged(with_(containers=starting), one), "the gate asked web by HTTP: its own check may come later"


def test_a_host_that_once_kept_the_data_is_told_that_it_does_no_more(tmp_path: Path) -> None:
    """The stack moved to another first host: the old one's timer would go on with a database that nobody uses."""
    told = {"last": None}
    found = {"app1": values.facts(), "app2": values.facts("app2", backup=told)}
    request = values.request(tmp_path, found)
    assert values.kinds(planner.keeping(request, "app2")) == ["backup.forget"]
    assert planner.keeping(request, "app1") == [], "it was never told of anything"
    first = values.request(tmp_path, {"app1": values.facts(backup=told)})
    assert values.kinds(planner.keeping(first, "app1")) == ["backup.forget"], "there are no backups in this environment"
