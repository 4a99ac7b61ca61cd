"""One at a time on a real cluster, and what killed deployers leave."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.onkube import OnKube


def wait_for(site: OnKube, in_hand: str = "") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if "held by" in site.inv("lock.show").ok().out:
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody took the lease {in_hand}")


def test_a_second_deployer_is_refused(site: OnKube) -> None:
    site.version("two")
    first = site.start("deploy", "--build", "--version", "two")
    wait_for(site)
    second = site.inv("deploy", "--version", "one").exits(3)
    assert "deploy --env" in second.err, "it tells with which command"
    assert "@" in second.err, "and who"
    assert first.result().ok().code == 0
    site.inv("deploy", "--version", "one").ok()


def test_a_freeze(site: OnKube) -> None:
    site.inv("lock.acquire", "--message", "the moon is full").ok()
    assert "the moon is full" in site.inv("deploy", "--version", "one").exits(3).err
    assert "the moon is full" in site.inv("lock.show").ok().out
    assert site.status()["frozen"]["message"] == "the moon is full"
    site.inv("lock.release").ok()
    site.inv("deploy", "--version", "one").ok()


@pytest.mark.parametrize("after", [1.5, 3.0, 5.0, 8.0, 11.0])
def test_a_killed_deployer(site: OnKube, after: float) -> None:
    """Whatever it had in hand: the next run converges, and no stray object is left."""
    site.inv("deploy", "--version", "one").ok()
    whole = {o for o in site.objects() if "release-" not in o}
    site.version("three")
    site.inv("push", "--version", "three").ok()
    running = site.start("deploy", "--version", "three")
    time.sleep(after)
    running.kill()
    found = site.status()
    assert found["release"] is not None, "something serves"
    site.inv("deploy", "--version", "three").ok()
    assert site.live() == "three"
    assert site.status()["healthy"]
    assert {o for o in site.objects() if "release-" not in o} == whole
    assert not site.get("jobs")["items"]


def test_a_deployer_that_slept_changes_nothing_any_more(site: OnKube) -> None:
    site.inv("deploy", "--version", "one").ok()
    site.version("slow", "slow", after=3)
    site.inv("push", "--version", "slow").ok()
    sleeper = site.start("deploy", "--version", "slow")
    wait_for(site)
    sleeper.process.send_signal(signal.SIGSTOP)
    site.version("five")
    site.inv("deploy", "--build", "--version", "five").ok()  # it waits until the lease has lapsed
    sleeper.process.send_signal(signal.SIGCONT)
    told = sleeper.result()
    assert told.code in (1, 5), told.text
    assert "lost its lease" in told.err
    assert site.live() == "five"
    assert site.status()["healthy"]


def test_ctrl_c_before_the_switch(site: OnKube) -> None:
    site.inv("deploy", "--version", "one").ok()
    site.version("slow", "slow", after=3)
    site.inv("push", "--version", "slow").ok()
    running = site.start("deploy", "--version", "slow")
    wait_for(site)
    time.sleep(1)
    running.process.send_signal(2)
    told = running.result()
    assert told.code in (1, 4), told.text
    assert site.live() == "one"
    assert site.status()["healthy"]
