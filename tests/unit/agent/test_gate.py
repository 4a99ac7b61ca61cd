"""The health gate: what passes, what is refused at once, what is never healthy; with containers played by this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slipway.agent import engine, gate
from slipway.agent.failure import OperationFailed
from tests.unit.agent.conftest import NOT_HTTP, answering


class Ready(BaseHTTPRequestHandler):
    status, body = 200, b"ready"

    def do_GET(self) -> None:
        kind = type(self)
        self.send_response(kind.status)
        self.send_header("Content-Length", str(len(kind.body)))
        self.end_headers()
        self.wfile.write(kind.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Ready.status, Ready.body = 200, b"ready"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "logs", lambda container, lines=15: f"log of {container}")
    monkeypatch.setattr(engine, "last_exit", lambda container: 42)


def container(
    number: int = 1, status: str = "running", health: str | None = None, restarts: int = 0, age: float = 5, **state: Any
) -> dict[str, Any]:
    since = time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime(time.time() - age))
    told = {
        "Status": status,
        "Running": status == "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "StartedAt": since,
        **state,
    }
    if health:
        told["Health"] = {"Status": health, "Log": [{"ExitCode": 1, "Output": "connection refused\n"}]}
    return {
        "Id": f"id{number}", "Name": f"/probe-v1-web-{number}", "State": told, "RestartCount": restarts, "Created": since,
        "Config": {"Labels": {"slipway.service": "web"}},
        "NetworkSettings": {"Networks": {"none": {"IPAddress": ""}, "stack": {"IPAddress": "127.0.0.1"}}},
    }  # fmt: skip


def service(port: int = 0, ready: str | None = None, replicas: int = 1, within: float = 0.5) -> dict[str, Any]:
    return {"name": "web", "replicas": replicas, "start_within": within, "port": port, "ready": ready}


def wait(found: list[dict[str, Any]], *services: dict[str, Any], **more: Any) -> dict[str, float]:
    return gate.await_healthy(lambda: found, list(services), lambda _: None, **more)


def test_ready_by_http(port: int) -> None:
    assert wait([container(1), container(2)], service(port, "/ready", replicas=2)).keys() == {"web"}


def test_ready_by_the_containers_own_check() -> None:
    assert wait([container(health="healthy")], service())


def test_without_any_check_two_seconds_of_running() -> None:
    assert wait([container(age=5)], service())
    with pytest.raises(OperationFailed, match="not healthy"):
        wait([container(age=0)], service(within=0.2))


def test_a_port_that_does_not_speak_http() -> None:
    with answering(NOT_HTTP) as (_, port), pytest.raises(OperationFailed, match="not healthy") as caught:
        wait([container()], service(port, "/ready", within=0.2))
    assert "no answer" in caught.value.seen


def test_a_replica_that_is_not_there_yet(port: int) -> None:
    with pytest.raises(OperationFailed, match=r"web was not healthy within 0\.3 s"):
        wait([container(1)], service(port, "/ready", replicas=2, within=0.3))


def test_never_ready_tells_what_it_answered(port: int) -> None:
    Ready.status, Ready.body = 503, b'{"failed": ["database"]}'
    with pytest.raises(OperationFailed) as caught:
        wait([container()], service(port, "/ready", within=0.3))
    assert f'GET :{port}/ready → 503 {{"failed": ["database"]}}' in caught.value.seen
    assert "log of id1" in caught.value.seen
    assert caught.value.service == "web"


def test_never_healthy_tells_what_the_check_said() -> None:
    with pytest.raises(OperationFailed) as caught:
        wait([container(health="starting")], service(within=0.3))
    assert "health check: exit code 1: connection refused" in caught.value.seen


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (container(status="exited", ExitCode=3), "exit code 3"),
        (container(status="restarting", ExitCode=3, Running=False), "exit code 3"),
        (container(status="exited", ExitCode=137, OOMKilled=True), "killed for want of memory (exit code 137)"),
        (container(restarts=2), "exit code 42, 2 restarts"),
    ],
)
def test_one_that_dies_is_refused_at_once(port: int, found: dict[str, Any], says: str) -> None:
    begun = time.monotonic()
    new = {**found, "Created": container()["Created"]}  # the parameters were made when the tests were collected
    with pytest.raises(OperationFailed, match="web dies at start") as caught:
        wait([new], service(port, "/ready", within=60))
    assert time.monotonic() - begun < 1
    assert f"probe-v1-web-1: {says}" in caught.value.seen
    assert "log of id1" in caught.value.seen


def test_a_restart_of_long_ago_is_forgiven(port: int) -> None:
    """A worker that was restarted last week can be gone back to."""
    assert wait([container(restarts=3, age=9999)], service(port, "/ready"))


def test_a_restart_while_it_is_watched_is_not(port: int) -> None:
    known: dict[str, int] = {}
    old = container(restarts=3, age=9999)
    assert wait([old], service(port, "/ready"), restarts=known)
    with pytest.raises(OperationFailed, match="dies"):
        wait([{**old, "RestartCount": 4}], service(port, "/ready"), restarts=known)
