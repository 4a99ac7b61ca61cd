"""The doors: which ports are open, and what happens to them when one more is asked for."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from slipway.agent import balancer, door, engine, haproxy
from slipway.agent.failure import OperationFailed
from slipway.agent.state import StackHome


class Played:
    """HAProxy behind the doors' sockets: what it listens on, what it was asked."""

    def __init__(self, *opened: int) -> None:
        self.opened, self.asked, self.answer = opened, list[str](), "Success=1"

    def ask(self, command: str, name: str = "admin.sock", timeout: float = 5) -> str:
        self.asked.append(f"{name} {command}")
        rows = "".join(f"port-{p},FRONTEND\n" for p in self.opened)
        return self.answer if command == "reload" else f"# pxname,svname\n{rows}"


@pytest.fixture
def played(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played(8300)
    monkeypatch.setattr(balancer, "ask", made.ask)
    running: Any = {"State": {"Running": True}}
    monkeypatch.setattr(engine, "api", lambda method, path, **_: running)
    return made


@pytest.fixture
def free() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


def config() -> str:
    return (balancer.CONF / "door.cfg").read_text()


def test_a_port_is_opened_beside_those_that_are_open(played: Played, free: int) -> None:
    assert door.open_ports("haproxy", [free])
    assert f"bind :{free}\n" in config()
    assert "bind :8300\n" in config()
    assert played.asked[-1] == "door-master.sock reload"


def test_nothing_is_done_where_all_are_open(played: Played) -> None:
    assert not door.open_ports("haproxy", [8300])
    assert "door-master.sock reload" not in played.asked


def test_a_port_of_another_program_is_refused_before_haproxy_is_asked(played: Played) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OperationFailed, match=f"port {port} of this host is taken"):
            door.open_ports("haproxy", [port])
    assert "door-master.sock reload" not in played.asked


def test_what_haproxy_refuses_is_not_in_the_file_that_it_would_start_from(played: Played, free: int) -> None:
    played.answer = "Success=0\n--\n[ALERT] Binding"
    with pytest.raises(OperationFailed, match="could not open"):
        door.open_ports("haproxy", [free])
    assert f":{free}\n" not in config()
    assert "bind :8300\n" in config()


def test_doors_that_do_not_run_tell_what_they_will_open(
    home: StackHome, played: Played, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    door.open_ports("haproxy", [free])

    def away(*_: Any, **__: Any) -> str:
        raise OperationFailed("the router does not answer")

    monkeypatch.setattr(balancer, "ask", away)
    assert door.ports() == sorted([free, 8300])


def test_the_router_hears_who_asks() -> None:
    doors = haproxy.render_doors([80], v6=False)
    assert "send-proxy-v2" in doors
    assert "bind [::]" not in doors
    assert "bind [::]:80 v6only\n" in haproxy.render_doors([80], v6=True)
    stack = {"stack": "probe", "port": 80, "domain": None, "routes": [], "releases": []}
    assert "bind unix@/run/haproxy/port-80.sock mode 666 accept-proxy\n" in haproxy.render([stack])
    assert "server router unix@/run/haproxy/port-80.sock" in doors
