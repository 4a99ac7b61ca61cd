"""Reading logs in a session: the real agent, with an engine that is played at its socket."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.dockerlog import DockerLog
from tests.unit.agent.test_agent_session import Agent


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """What the engine has."""
    found: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            router = "slipway.role%3Drouter" in self.path
            value: Any = [{"Id": c["Id"]} for c in found] if path.endswith("/containers/json") and not router else []
            if not path.endswith("/containers/json"):
                value = next(c for c in found if c["Id"] == path.split("/")[3])
            body = json.dumps(value).encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        def log_message(self, *_: object) -> None:
            pass

    server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "none"), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def container(folder: Path, name: str) -> tuple[DockerLog, dict[str, Any]]:
    log = DockerLog(folder / f"{name}-json.log")
    labels = {"slipway.stack": "probe", "slipway.service": "web", "slipway.release": "r1"}
    told = {
        "Id": name, "Name": f"/{name}", "Created": "2025-01-01T00:00:00Z", "LogPath": str(log.path),
        "HostConfig": {"LogConfig": {"Type": "json-file"}}, "Config": {"Labels": labels},
    }  # fmt: skip
    return log, told


class Reading:
    """A request for lines, and what comes of it."""

    def __init__(self, agent: Agent, **asked: Any) -> None:
        self.agent = agent
        self.say({"id": 1, "stack": "probe", "ops": [{"kind": "logs.read", **asked}]})

    def say(self, message: dict[str, Any]) -> None:
        assert self.agent.process.stdin
        self.agent.process.stdin.write(json.dumps(message) + "\n")
        self.agent.process.stdin.flush()

    def next(self) -> dict[str, Any]:
        assert self.agent.process.stdout
        return dict(json.loads(self.agent.process.stdout.readline()))

    def texts(self) -> list[str]:
        """Ask for the next part and return its lines."""
        self.say({"more": 1})
        event = self.next()
        assert event["event"] == "data", event
        return [text for _, _, _, text in event["lines"]]


@pytest.fixture
def agent(tmp_path: Path, containers: list[dict[str, Any]]) -> Iterator[Agent]:
    made = Agent(tmp_path)
    yield made
    made.process.kill()
    made.process.communicate()


def test_parts_come_one_by_one_and_pings_are_answered_meanwhile(
    agent: Agent, containers: list[dict[str, Any]], tmp_path: Path
) -> None:
    log, told = container(tmp_path, "web-1")
    containers.append(told)
    log.write(*(f"line {n}" for n in range(1200)))
    reading = Reading(agent)
    assert reading.next()["event"] == "begin"
    reading.say({"ping": 7})
    assert reading.next() == {"pong": 7}, "nothing was asked for: nothing came, and the host lives"
    got = reading.texts()
    reading.say({"ping": 8})
    assert reading.next() == {"pong": 8}
    got += reading.texts() + reading.texts()
    assert got == [f"line {n}" for n in range(1200)]
    assert [reading.next()["event"] for _ in range(2)] == ["done", "end"]


def test_containers_that_come_and_go_are_followed(
    agent: Agent, containers: list[dict[str, Any]], tmp_path: Path
) -> None:
    log, told = container(tmp_path, "web-1")
    containers.append(told)
    log.write("old", "first")
    reading = Reading(agent, follow=True, tail=1)
    assert reading.next()["event"] == "begin"
    assert reading.texts() == ["first"]
    other, its = container(tmp_path, "web-2")
    other.write("said before it was seen")
    containers.append(its)
    log.write("last words")
    containers.remove(told)
    got: list[str] = []
    until = time.monotonic() + 10
    while len(got) < 2 and time.monotonic() < until:
        got += reading.texts()
    assert sorted(got) == ["last words", "said before it was seen"]
    other.write("goes on")
    while "goes on" not in got and time.monotonic() < until:
        got += reading.texts()
    assert got.count("goes on") == 1


def test_a_log_that_is_closed_to_this_user_and_one_that_is_elsewhere(
    agent: Agent, containers: list[dict[str, Any]], tmp_path: Path
) -> None:
    _, told = container(tmp_path, "web-1")
    told["HostConfig"]["LogConfig"]["Type"] = "journald"
    containers.append(told)
    reading = Reading(agent)
    assert reading.next()["event"] == "begin"
    assert reading.next()["words"] == "not read: web-1 (their log driver keeps it elsewhere)"
    assert reading.next()["result"] == {"lines": 0}
