"""A host's folder of its own for each test; its engine and its router are played."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.agent import balancer, engine, reap, router, state
from slipway.agent.state import StackHome

BROKEN_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
BROKEN_CHUNKS = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{"status": "go"}\n\r\n20\r\n{"sta'
NOT_HTTP = b"\x15\x03\x03\x00\x02\x02\x16"


@contextlib.contextmanager
def answering(answer: bytes, family: int = socket.AF_INET, at: Any = ("127.0.0.1", 0)) -> Iterator[Any]:
    """Serve these bytes to whoever asks, and close. Yields the address."""
    with socket.socket(family) as server:
        server.bind(at)
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed: the end
                while True:
                    client, _ = server.accept()
                    with client, contextlib.suppress(OSError):
                        client.recv(65536)
                        client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()
        server.shutdown(socket.SHUT_RDWR)


class Played:
    """What the engine and the router of the host say and are told."""

    def __init__(self) -> None:
        self.containers: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.live: str | None = None
        self.open: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []

    def api(self, method: str, path: str, body: Any = None, *, timeout: float = 60, **query: str) -> Any:
        if "slipway-proxy" in path:
            return None  # no change of the router was cut short
        self.calls.append((method, path))
        if path == "/images/json":
            return self.images
        if path == "/networks":
            return []
        if method == "DELETE" and path.startswith("/containers/"):
            self.containers = [c for c in self.containers if c["Id"] != path.rpartition("/")[2]]
        if path.endswith(("/stop", "/kill")):
            for container in self.containers:
                if container["Id"] == path.split("/")[2]:
                    container["State"]["Running"] = False
        return {}

    def of(self, **labels: str) -> list[dict[str, Any]]:
        wanted = {k.replace("_", "."): v for k, v in labels.items()}
        wanted = {k: v for k, v in wanted.items() if not k.startswith("com.")}
        return [c for c in self.containers if wanted.items() <= c["Config"]["Labels"].items()]

    def add(self, release: str, service: str = "web", running: bool = True) -> None:
        labels = {"slipway.stack": "probe", "slipway.release": release, "slipway.service": service}
        number = len(self.containers)
        self.containers.append(
            {
                "Id": f"id{number}", "Name": f"/probe-{release}-{service}-1", "Config": {"Labels": labels},
                "State": {"Running": running, "Restarting": False, "Status": "running" if running else "exited"},
            }
        )  # fmt: skip

    def running(self) -> set[str]:
        return {c["Config"]["Labels"]["slipway.release"] for c in self.containers if c["State"]["Running"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackHome:
    for module in (state, reap):
        monkeypatch.setattr(module, "HOME", tmp_path)
    monkeypatch.setattr(balancer, "PROXY", tmp_path / "proxy")
    monkeypatch.setattr(balancer, "CONF", tmp_path / "proxy/conf")
    return StackHome("probe")


@pytest.fixture
def played(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played()
    monkeypatch.setattr(engine, "api", made.api)
    monkeypatch.setattr(engine, "containers", made.of)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(router, "shares", lambda stack: {"web": {made.live: 100.0}} if made.live else {})
    monkeypatch.setattr(router, "sends_to", lambda stack: {made.live} if made.live else set())
    monkeypatch.setattr(router, "open_requests", lambda stack, release: made.open.get(release, 0))
    monkeypatch.setattr(router, "retire", lambda stack, release: made.calls.append(("retire", release)))
    return made


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch, home: StackHome) -> Callable[..., list[str]]:
    """Make HAProxy's sockets answer: a table of servers, a list of processes. Returns what was asked."""

    def play(
        rows: list[tuple[str, str, str, int, int]],
        *,
        old: dict[str, list[Any]] | None = None,
        containers: list[dict[str, Any]] | None = None,
        **plan: Any,
    ) -> list[str]:
        asked: list[str] = []

        def table(found: list[Any]) -> str:
            lines = [f"{b},{n},{status},{weight},{scur}" for b, n, status, weight, scur in found]
            return "# pxname,svname,status,weight,scur\n" + "\n".join(lines) + "\n"

        def ask(command: str, name: str = "admin.sock", timeout: float = 5) -> str:
            asked.append(command)
            if command == "show proc":
                return "1 master\n# workers\n9 worker\n# old workers\n" + "".join(f"{p} worker\n" for p in old or {})
            if command.startswith("@!"):
                return table((old or {})[command[2:].split(maxsplit=1)[0]])
            if command == "show info":
                return "Name: HAProxy\nUptime_sec: 100\n"
            return "Success=1" if command == "reload" else table(rows) if command.startswith("show stat") else ""

        monkeypatch.setattr(balancer, "ask", ask)
        monkeypatch.setattr(engine, "containers", lambda **labels: containers or [])
        if plan:
            path = balancer.PROXY / "stacks/probe.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(plan))
        return asked

    return play
