"""What the host's timer stops and removes, and what it never touches."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slipway.agent import reap
from slipway.agent.failure import OperationFailed
from slipway.agent.state import StackHome, write_json
from tests.unit.agent.conftest import Played


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def policy(home: StackHome, **changes: Any) -> None:
    write_json(home.policy, {"keep_warm": 3600.0, "keep_releases": 2, **changes})


def release(home: StackHome, played: Played, name: str, **facts: Any) -> None:
    order = {"r1": 1, "r2": 2, "r3": 3, "r4": 4, "r5": 5}
    image = f"registry.lab:5000/probe/web@sha256:{name}"
    home.note(
        name,
        **{
            "verified": True,
            "activated_run": order.get(name, 9),
            "live_since": ago(400),
            "images": {"web": image},
            **facts,
        },
    )
    played.images.append({"RepoDigests": [image]})
    if not facts.get("stopped_at"):
        played.add(name)


def test_the_predecessor_stays_warm_and_its_own_stops(home: StackHome, played: Played) -> None:
    policy(home, keep_releases=5)
    release(home, played, "r1", deactivated_at=ago(200))
    release(home, played, "r2", deactivated_at=ago(100))
    release(home, played, "r3")
    played.live = "r3"
    reap.reap(home)
    assert played.running() == {"r2", "r3"}
    assert home.meta("r1")["stopped_at"]


def test_what_stops_is_not_killed_by_its_removal(home: StackHome, played: Played) -> None:
    """A release that is kept no longer ends with its grace period, and is removed when it has ended."""
    policy(home)
    release(home, played, "r1", deactivated_at=ago(200))
    release(home, played, "r2", deactivated_at=ago(100))
    release(home, played, "r3")
    played.live = "r3"
    reap.reap(home)
    orders = [(m, p) for m, p in played.calls if p.startswith("/containers/id0")]
    assert orders == [("POST", "/containers/id0/kill"), ("DELETE", "/containers/id0")], (
        "its stop signal, and when it ended"
    )
    assert set(home.known()) == {"r2", "r3"}


def test_not_warm_for_ever(home: StackHome, played: Played) -> None:
    policy(home, keep_warm=60.0)
    release(home, played, "r1", deactivated_at=ago(61))
    release(home, played, "r2")
    played.live = "r2"
    reap.reap(home)
    assert played.running() == {"r2"}
    assert "r1" in home.known(), "stopped, and kept for a rollback"


def test_open_requests_are_waited_for_up_to_the_limit(home: StackHome, played: Played) -> None:
    policy(home)
    release(home, played, "r1", deactivated_at=ago(200), drain=150.0)
    release(home, played, "r2", deactivated_at=ago(100), drain=150.0)
    release(home, played, "r3", deactivated_at=ago(50), drain=150.0)
    release(home, played, "r4")
    played.live, played.open = "r4", {"r1": 1, "r2": 1}
    reap.reap(home)
    assert played.running() == {"r2", "r3", "r4"}, "r1 is over its limit, r2 answers still, r3 is warm"


def test_retention_counts_verified_releases(home: StackHome, played: Played) -> None:
    policy(home, keep_releases=2, keep_warm=0.0)
    for name in ("r1", "r2", "r3"):
        release(home, played, name, deactivated_at=ago(90), stopped_at=ago(80))
    release(home, played, "bad1", verified=False, stopped_at=ago(80), deactivated_at=ago(90))
    release(home, played, "r4", deactivated_at=ago(60), stopped_at=ago(50))
    release(home, played, "r5")
    played.live = "r5"
    reap.reap(home)
    assert set(home.known()) == {"r4", "r5"}
    gone = {
        path.rpartition(":")[2] for method, path in played.calls if method == "DELETE" and path.startswith("/images/")
    }
    assert gone == {"r1", "r2", "r3", "bad1"}, "with their images"


def test_the_live_one_is_never_removed_however_old(home: StackHome, played: Played) -> None:
    """After a rollback the oldest release may be live, and the ones after it newer."""
    policy(home, keep_releases=1, keep_warm=0.0)
    release(home, played, "r1", deactivated_at=None)
    for name in ("r2", "r3"):
        release(home, played, name, deactivated_at=ago(5 if name == "r2" else 50), stopped_at=ago(1))
    played.live = "r1"
    reap.reap(home)
    assert set(home.known()) == {"r1", "r2", "r3"}, "the live one, its predecessor r2, and the newest"
    assert played.running() == {"r1"}


def test_who_lost_the_traffic_unnoticed_is_noticed(home: StackHome, played: Played) -> None:
    """A run was killed between the switch and its note: the old release must not run for ever."""
    policy(home, keep_warm=0.0)
    release(home, played, "r1")
    release(home, played, "r2")
    played.live = "r2"
    reap.reap(home)
    assert home.meta("r1")["deactivated_at"]
    assert played.running() == {"r2"}


def test_a_stop_that_failed_is_tried_again(home: StackHome, played: Played) -> None:
    policy(home)
    release(home, played, "r1", deactivated_at=ago(200))
    home.note("r1", stopped_at=ago(100))
    release(home, played, "r2")
    played.live = "r2"
    reap.reap(home)
    assert played.running() == {"r2"}


@pytest.mark.parametrize(("told", "killed"), [(5, False), (60, True)])
def test_what_was_told_to_end_has_its_grace_period(home: StackHome, played: Played, told: float, killed: bool) -> None:
    policy(home)
    release(home, played, "r1", deactivated_at=ago(70), ending={"web": ago(told)})
    release(home, played, "r2")
    played.containers[0]["Config"]["StopTimeout"] = 30
    played.live = "r2"
    reap.reap(home)
    assert (("POST", "/containers/id0/kill") in played.calls) is killed


def test_failed_releases_go_at_once(home: StackHome, played: Played) -> None:
    policy(home)
    release(home, played, "bad", verified=False, failed=True, deactivated_at=ago(1))
    release(home, played, "r2")
    played.live = "r2"
    reap.reap(home)
    assert home.known() == ["r2"]
    assert played.running() == {"r2"}


def test_what_is_about_to_start_is_left_alone(home: StackHome, played: Played) -> None:
    policy(home)
    release(home, played, "r1")
    release(home, played, "coming", verified=False, live_since=None, activated_run=None)
    played.live = "r1"
    reap.reap(home)
    assert played.running() == {"r1", "coming"}


def test_nothing_is_done_where_the_router_tells_no_live_one(home: StackHome, played: Played) -> None:
    policy(home, keep_warm=0.0, keep_releases=1)
    release(home, played, "r1", deactivated_at=ago(900))
    release(home, played, "r2")
    reap.reap(home)
    assert played.running() == {"r1", "r2"}
    assert not played.calls


def test_nothing_is_done_while_a_run_is_at_work(home: StackHome, played: Played) -> None:
    policy(home, keep_warm=0.0)
    release(home, played, "r1", deactivated_at=ago(900))
    release(home, played, "r2")
    played.live = "r2"
    with home.exclusive(wait=0) as mine:
        assert mine
        begun = time.monotonic()
        reap.reap(home)
        assert time.monotonic() - begun < 1
    assert played.running() == {"r1", "r2"}


def test_what_serves_cannot_be_removed(home: StackHome, played: Played) -> None:
    release(home, played, "r1")
    played.live = "r1"
    with pytest.raises(OperationFailed, match="serves traffic"):
        reap.remove_release(home, "r1")
    assert home.known() == ["r1"]


def test_a_release_without_a_policy_is_left(home: StackHome, played: Played) -> None:
    release(home, played, "r1", deactivated_at=ago(9999))
    played.live = "r2"
    reap.reap(home)
    assert played.running() == {"r1"}
