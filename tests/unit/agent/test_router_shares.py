"""What the router says, read from its own sockets; and what it is told, in an order that loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from slipway.agent import balancer, router
from slipway.agent.failure import OperationFailed

Play = Callable[..., list[str]]


def plan(old: int, new: int) -> dict[str, Any]:
    of = {"ports": {"web": 8000}, "live": {"web": "/health"}}
    return {
        "stack": "probe", "port": 80, "domain": None, "routes": [{"service": "web", "path": "/", "timeout": 30.0}],
        "releases": [
            {"id": "old", "weights": {"web": old}, "servers": {"web": ["o1", "o2"]}, **of},
            {"id": "new", "weights": {"web": new}, "servers": {"web": ["n1", "n2"]}, **of},
        ],
    }  # fmt: skip


def rows(old: int, new: int, *, up: str = "UP", open_old: int = 0) -> list[tuple[str, str, str, int, int]]:
    return [
        ("probe:web", "old.1", "UP", old, open_old), ("probe:web", "old.2", "UP", old, 0),
        ("probe:web", "new.1", up, new, 2), ("probe:web", "new.2", "UP", new, 0),
        ("probe:web", "BACKEND", "UP", 200, 9), ("other:web", "old.1", "UP", 50, 7),
    ]  # fmt: skip


def test_shares_are_what_servers_that_are_up_get(stats: Play) -> None:
    stats(rows(100, 100), **plan(100, 100))
    assert router.shares("probe") == {"web": {"old": 50.0, "new": 50.0}}
    stats(rows(0, 100), **plan(0, 100))
    assert router.shares("probe") == {"web": {"old": 0.0, "new": 100.0}}
    stats(rows(100, 100, up="DOWN"), **plan(100, 100))
    assert router.shares("probe") == {"web": {"old": 66.7, "new": 33.3}}
    stats([(*r[:2], "DOWN", *r[3:]) for r in rows(0, 100)], **plan(0, 100))
    assert router.shares("probe") == {"web": {"old": 0.0, "new": 0.0}}, "nobody gets anything"


def test_a_stack_that_the_router_does_not_know(stats: Play) -> None:
    stats([])
    assert router.shares("probe") == {}
    assert router.open_requests("probe", "old") == 0


def test_open_requests_of_old_workers_count(stats: Play) -> None:
    stats(rows(0, 100, open_old=1), old={"7": rows(0, 100, open_old=4)}, **plan(0, 100))
    assert router.open_requests("probe", "old") == 5
    assert router.open_requests("probe", "new") == 4, "two in each worker"


def told(asked: list[str]) -> list[str]:
    return [word for line in asked for word in line.split(";") if "set weight" in word]


def test_only_weights_need_no_reload_and_what_serves_comes_first(stats: Play) -> None:
    asked = stats(rows(100, 0), **plan(100, 0))
    router.apply(plan(0, 100))
    assert "reload" not in asked
    assert [w.strip() for w in told(asked)] == [
        "set weight probe:web/new.1 100", "set weight probe:web/new.2 100",
        "set weight probe:web/old.1 0", "set weight probe:web/old.2 0",
    ]  # fmt: skip
    assert router.wanted("probe") == plan(0, 100)
    assert "server new.1 n1:8000 weight 100" in (balancer.PROXY / "conf/haproxy.cfg").read_text()


def test_what_stops_is_neither_checked_nor_looked_up_any_more(stats: Play) -> None:
    asked = stats(rows(0, 100), **plan(0, 100))
    router.retire("probe", "new")  # gets requests: never
    assert (router.wanted("probe"), [a for a in asked if "maint" in a]) == (plan(0, 100), [])
    router.retire("probe", "old")
    assert [a for a in asked if "maint" in a] == [
        "set server probe:web/old.1 state maint", "set server probe:web/old.2 state maint",
    ]  # fmt: skip
    assert "reload" not in asked
    config = (balancer.CONF / "haproxy.cfg").read_text()
    assert ("server new.1" in config, "server old.1" in config) == (True, False)
    router.apply(plan(100, 0))
    assert "reload" in asked, "it comes back as new servers do"


def test_a_server_that_was_down_is_looked_up_anew(stats: Play) -> None:
    """A stopped release that was started again: the running worker would not see it for seconds."""
    asked = stats(rows(100, 0, up="DOWN"), **plan(100, 0))
    router.apply(plan(0, 100))
    assert "reload" in asked


def test_a_down_server_that_gets_nothing_is_no_reason(stats: Play) -> None:
    asked = stats(rows(100, 0, up="DOWN"), **plan(0, 100))
    router.apply(plan(100, 0))
    assert "reload" not in asked


@pytest.mark.parametrize(("age", "reload"), [(200, False), (20, True)])
def test_a_container_that_is_younger_than_the_worker(stats: Play, age: float, reload: bool) -> None:
    """It was made again under the same name: its address may be another one."""
    started = time.strftime("%Y-%m-%dT%H:%M:%S.5Z", time.gmtime(time.time() - age))
    made = [
        {"Name": "/n1", "State": {"StartedAt": started}},
        {"Name": "/elsewhere", "State": {"StartedAt": "2999-01-01T00:00:00Z"}},
    ]
    asked = stats(rows(100, 0), containers=made, **plan(100, 0))
    router.apply(plan(0, 100))
    assert ("reload" in asked) is reload


def test_new_servers_need_a_reload(stats: Play) -> None:
    asked = stats(rows(100, 0), **plan(100, 0))
    more = plan(0, 100)
    more["releases"][1]["servers"]["web"].append("n3")
    router.apply(more)
    assert "reload" in asked


def test_a_refused_configuration_changes_nothing(stats: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    stats([], **plan(100, 0))
    answers = balancer.ask
    monkeypatch.setattr(
        balancer, "ask", lambda c, *a, **k: "Success=0\nline 42" if c == "reload" else answers(c, *a, **k)
    )
    with pytest.raises(OperationFailed, match="the old one goes on") as caught:
        router.apply(plan(0, 100))
    assert "line 42" in caught.value.seen
    assert router.wanted("probe") == plan(100, 0)
    assert "server old.1 o1:8000 weight 100" in (balancer.PROXY / "conf/haproxy.cfg").read_text()


def test_a_reload_that_was_refused_first_leaves_nothing(stats: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    stats([])
    answers = balancer.ask
    monkeypatch.setattr(balancer, "ask", lambda c, *a, **k: "Success=0" if c == "reload" else answers(c, *a, **k))
    with pytest.raises(OperationFailed):
        router.apply(plan(0, 100))
    assert router.wanted("probe") is None


def test_who_gets_requests_is_read_from_the_router_not_from_files(stats: Play) -> None:
    """A run that was killed between the switch and its note: the file still says the old one."""
    stats(rows(0, 100), **plan(100, 0))
    assert router.sends_to("probe") == {"new"}
    assert router.shares("probe") == {"web": {"old": 0.0, "new": 100.0}}


def test_another_stack_never_switches_this_one(stats: Play) -> None:
    """A killed run wrote its plan and told nobody: the next reload, for another stack, must not carry it out."""
    stats(rows(100, 0), **plan(0, 100))
    (kept,) = router.all_wanted()
    assert [r["weights"] for r in kept["releases"]] == [{"web": 100}, {"web": 0}]


def test_without_a_router_its_file_says_who_will_get_them(stats: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    stats(rows(0, 100), **plan(100, 0))
    router.write_config(router.all_wanted())

    def silent(*_: Any, **__: Any) -> str:
        raise OperationFailed("the router does not answer")

    monkeypatch.setattr(balancer, "ask", silent)
    assert router.sends_to("probe") == {"new"}
    assert router.sends_to("other") == set()
