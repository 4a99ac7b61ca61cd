"""Deploys that fail: the exit code, one paragraph that says what was seen; what served still serves, nothing is left behind."""

from __future__ import annotations

import pytest

from tests.support import stacks
from tests.support.checkout import Result
from tests.support.site import SLACK, Site, eventually, seconds_of


def fails_and_leaves_nothing(probe: Site, code: int = 1, *argv: str) -> Result:
    """Deploy with a visitor at the door: who notices nothing; the host is afterwards what it was before."""
    live, before = probe.live(), probe.settled()
    with probe.visitor() as visitor:
        failed = probe.deploy(*argv).exits(code)
    visitor.happy()
    assert set(visitor.releases) == {live}
    assert probe.footprint() == before
    assert f"release {live}" in failed.err, "it says what still serves"
    return failed


def test_a_release_that_dies_at_start_is_reported_at_once(probe: Site) -> None:
    stacks.behave(probe.checkout, "crash", "crash")
    failed = fails_and_leaves_nothing(probe)
    assert "web dies at start" in failed.err
    assert "exit code 1" in failed.err
    assert "model file is corrupt: expected 42 bytes" in failed.err
    assert seconds_of(failed, "Start and wait for health (phase 1)") < 3 * SLACK
    said = probe.inv("logs", "--grep", "model file is corrupt", "--since", "1m").ok().out
    assert "RuntimeError: model file is corrupt" in said, "its containers are gone, what they said is not"
    kept = "stat -c '%U %a' /var/lib/slipway/logs/probe/*"
    assert set(probe.on("sh", "-c", kept).splitlines()) == {"deploy 640"}


def test_a_release_that_never_gets_healthy(probe: Site) -> None:
    stacks.behave(probe.checkout, "sick", "sick")
    failed = fails_and_leaves_nothing(probe)
    assert "web was not healthy within 4 s" in failed.err
    assert "GET :8000/health/ready → 503" in failed.err
    assert "the flux capacitor" in failed.err
    status = probe.status()
    assert status["healthy"]
    assert status["unfinished"] is None


def test_a_migration_that_fails(probe: Site) -> None:
    probe.checkout.write("compose/probe/web/migrations/002_broken.sql", "BREAK\n")
    failed = fails_and_leaves_nothing(probe)
    assert "a migration failed" in failed.err
    assert "migration 002_broken is broken: no such column" in failed.err
    assert probe.get("/store").json()["schema"] == "1"


def test_a_job_that_fails(probe: Site) -> None:
    stacks.add_job(probe.checkout, "sound", "print('as it should be')")
    stacks.add_job(probe.checkout, "broken", "print('reading the index'); raise SystemExit('the index is empty')")
    failed = fails_and_leaves_nothing(probe)
    assert "app1, broken: the job broken failed" in failed.err
    assert "reading the index\nthe index is empty\n(exit code 1)" in failed.err.replace("  ", "")
    assert "Start and wait for health" not in failed.text, "the release was not started"


def test_an_image_that_does_not_build(probe: Site) -> None:
    probe.checkout.edit("compose/probe/web/Dockerfile", "COPY . .", "COPY . .\nRUN echo needs libmagic >&2; exit 7")
    live, before = probe.live(), probe.settled()
    with probe.visitor() as visitor:
        failed = probe.deploy().exits(1)
    visitor.happy()
    assert "does not build" in failed.err
    assert "compose/probe/web/Dockerfile" in failed.err
    assert "needs libmagic" in failed.err
    assert (probe.live(), probe.footprint()) == (live, before)


def test_a_version_that_does_not_exist(probe: Site) -> None:
    failed = fails_without_touching(probe, "deploy", "--version", "v999")
    assert "version v999 does not exist" in failed.err
    assert "inv release.list" in failed.err


def test_a_release_to_go_back_to_that_does_not_exist(probe: Site) -> None:
    failed = fails_without_touching(probe, "rollback", "--to", "v999-abcdef")
    assert "v999-abcdef is not kept" in failed.err


def fails_without_touching(probe: Site, *argv: str) -> Result:
    before = probe.settled()
    with probe.visitor() as visitor:
        failed = probe.inv(*argv).exits(2)
    visitor.happy()
    assert probe.footprint() == before
    return failed


def rolled_back(probe: Site, says: str) -> None:
    """Deploy what fails after the switch: exit 4, the earlier release serves again, and the bad one goes."""
    probe.settled()
    live, known, running = probe.live(), probe.releases(), set(probe.running())
    with probe.visitor() as visitor:
        failed = probe.deploy().exits(4)
    visitor.happy()
    assert says in failed.err
    assert "rolled back" in failed.err
    assert f"release {live}" in failed.err
    assert probe.live() == live
    status = probe.status()
    assert status["healthy"], status["problems"]
    assert status["release"]["id"] == live
    assert {s["service"]: s["traffic"] for h in status["hosts"] for s in h["services"] if s["release"] == live} == {
        "web": 100.0, "extra": 100.0, "tick": None,
    }  # fmt: skip
    bad = (set(visitor.releases) | probe.releases()) - known
    eventually(
        lambda: not (bad & probe.releases()) and set(probe.running()) <= running, within=75
    )  # the timer's minute


def test_a_smoke_test_that_fails_after_the_switch(probe: Site) -> None:
    stacks.behave(probe.checkout, "wrong", "wrong")
    rolled_back(probe, "smoke test 'greets' failed")


def test_a_later_phase_that_does_not_get_healthy(probe: Site) -> None:
    stacks.behave(probe.checkout, "half", "sick", service="extra")
    rolled_back(probe, "extra was not healthy within 4 s")


def test_a_release_that_falls_ill_while_it_is_watched(probe: Site) -> None:
    stacks.behave(probe.checkout, "ill", "sick later", after=4)
    probe.checkout.write("envs/lab.yml", probe.checkout.read("envs/lab.yml") + "settle: 15s\n")
    rolled_back(probe, "web was not healthy")


@pytest.fixture
def fresh(probe: Site) -> Site:
    """A stack that was never deployed, beside `probe` and with a name of its own at the same front door."""
    return Site(probe.checkout, probe.env, "fresh", probe.port)


def test_first_deploys(fresh: Site, probe: Site) -> None:
    """A first deploy that fails before its switch leaves nothing (1); after it, a person has to look (5); then one works."""
    stacks.behave(fresh.checkout, "crash", "crash", "fresh")
    with probe.visitor() as visitor:
        failed = fresh.deploy().exits(1)
        assert "nothing (this would be the first release)" in failed.err
        assert not fresh.containers()
        stacks.behave(fresh.checkout, "wrong", "wrong", "fresh")
        failed = fresh.deploy().exits(5)
        assert "there is no earlier release to go back to" in failed.err
        assert "inv status" in failed.err
        stacks.behave(fresh.checkout, "good", "good", "fresh")
        done = fresh.deploy().ok()
        assert "verified" in done.out
        assert fresh.get(name="fresh.test").json()["label"] == "good"
        status = fresh.status()
        assert status["healthy"], status["problems"]
    visitor.happy()
    assert probe.get().json()["name"] == "probe", "other names are the other stack's"
