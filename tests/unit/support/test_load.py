"""The load client sees what it is there to see: each way in which an answer can be wrong, and none where all is well."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import load

PROBE = Path(load.__file__).parents[1] / "probe/web"

Answer = Callable[[socket.socket, bytes, int], bool]
"""Gets the connection, the request and the number of the connection; returns whether the connection stays."""

TARGET = load.Target(path="/", expect='"release":"{release}"', stream="/s?{seconds}", final="event: done")


def good(release: str = "r1", more: str = "") -> bytes:
    body = f'{{"release":"{release}"}}'
    return f"HTTP/1.1 200 OK\r\nX-Release: {release}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def stream(*events: str, last: str = "0\r\n\r\n") -> bytes:
    chunks = "".join(f"{len(e) + 2:x}\r\n{e}\n\n\r\n" for e in events)
    return f"HTTP/1.1 200 OK\r\nX-Release: r1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{last}".encode()


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """A server that answers as a function says."""
    listeners: list[socket.socket] = []

    def connection(s: socket.socket, answer: Answer, number: int) -> None:
        data = b""
        with s:
            while part := s.recv(65536):
                data += part
                while b"\r\n\r\n" in data:
                    request, _, data = data.partition(b"\r\n\r\n")
                    if not answer(s, request, number):
                        return

    def start(answer: Answer) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            number = 0
            while True:
                try:
                    s, _ = listener.accept()
                except OSError:
                    return
                number += 1
                threading.Thread(target=connection, args=(s, answer, number), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def always(data: bytes, stays: bool = True) -> Answer:
    def answer(s: socket.socket, _request: bytes, _number: int) -> bool:
        s.sendall(data)
        return stays

    return answer


def test_all_well(serve: Callable[[Answer], str]) -> None:
    with load.running(serve(always(good())), "keep-alive=2 new=50", TARGET) as client:
        client.wait(requests=200, release="r1")
    report = client.report
    assert report.requests >= 200
    assert report.failed == 0
    assert report.releases == ["r1"]
    assert set(report.document["kinds"]) == {"keep-alive", "new"}
    assert sum(report.document["timeline"]["requests"]) == report.requests
    assert report.p99(0, 100) > 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed without an answer"),
        (good()[:20], "answer cut in its head"),
        (good()[:-1], "answer cut in its body"),
        (good().replace(b'"release":"r1"', b'"release":"r2"'), "wrong body"),
        (good().replace(b"X-Release: r1\r\n", b""), "no X-Release"),
        (good().replace(b"200 OK", b"503 No"), "status 503"),
        (b"ICY 200 OK\r\n\r\n", "no HTTP answer"),
    ],
)
def test_wrong_answers(serve: Callable[[Answer], str], data: bytes, reason: str) -> None:
    with load.running(serve(always(data, stays=False)), "keep-alive=1x0.05 new=20", TARGET) as client:
        client.wait(failed=6)  # they take turns
    assert set(client.report.document["reasons"]) == {reason}
    assert client.report.document["examples"][0]["reason"] == reason
    kinds = client.report.document["kinds"]
    assert {name: kinds[name]["failed"] for name in kinds} == {name: kinds[name]["requests"] for name in kinds}
    assert min(kinds[name]["failed"] for name in ("keep-alive", "new")) > 0


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with load.running(f"http://127.0.0.1:{port}", "new=20", TARGET) as client:
        client.wait(failed=1)
    assert set(client.report.document["reasons"]) == {"no connection"}


def test_idle_connection_closed_is_no_failure(serve: Callable[[Answer], str]) -> None:
    seen: set[int] = set()

    def answer(s: socket.socket, _: bytes, number: int) -> bool:
        seen.add(number)
        s.sendall(good())
        return False  # without a word: the client learns of it while it pauses

    with load.running(serve(answer), "keep-alive=1x0.05", TARGET) as client:
        client.wait(requests=5)
    assert client.report.failed == 0
    assert len(seen) >= 5


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (stream("id: 1", "id: 2", "event: done"), None),
        (stream("id: 1", "event: done"), "stream with events missing"),
        (stream("id: 1", "id: 2"), "stream without its last event"),
        (stream("id: 1", "id: 2", "event: done", last=""), "stream cut"),
    ],
)
def test_streams(serve: Callable[[Answer], str], data: bytes, reason: str | None) -> None:
    with load.running(serve(always(data, stays=False)), "sse=1x2", TARGET) as client:
        client.wait(requests=2)
    assert set(client.report.document["reasons"]) == ({reason} if reason else set())


def test_latency_counts_from_when_it_was_due(serve: Callable[[Answer], str]) -> None:
    stalled = threading.Event()

    def answer(s: socket.socket, _: bytes, number: int) -> bool:
        if number == 5:
            stalled.set()
        if stalled.is_set() and number < 15:
            time.sleep(0.5)
        s.sendall(good())
        return False

    with load.running(serve(answer), "new=40", TARGET) as client:
        client.wait(requests=40)
    new = client.report.document["kinds"]["new"]
    assert new["p90_ms"] > 450
    assert new["p50_ms"] < 450
    assert client.report.samples
    assert client.report.samples.lateness(0, 60)[-1] < 0.45, "the client itself was not late"


def test_when_releases_answered(serve: Callable[[Answer], str]) -> None:
    release, answered = ["r1"], list[float]()

    def answer(s: socket.socket, _: bytes, __: int) -> bool:
        if (one := release[0]) == "r1":
            answered.append(time.monotonic())
        s.sendall(good(one))
        return True

    with load.running(serve(answer), "keep-alive=1", TARGET) as client:
        client.wait(release="r1", requests=2)
        release[0] = "r2"
        client.wait(release="r2")
    report = client.report
    last = report.last_of("r1")
    assert last is not None
    before, its_own = (report.at(moment) for moment in answered[-2:])
    assert before - 0.01 < last < its_own + 0.01, "when it began"
    assert report.last_of("r1", after=last + 0.01) is None


@pytest.fixture
def probe() -> Iterator[str]:
    """The tests' own app, as a process of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "SLIPWAY_RELEASE": "r1", "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen([sys.executable, "server.py"], cwd=PROBE, env=environment)
    until = time.monotonic() + 10
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < until
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    assert server.wait(10) == 0, "it finishes and leaves"


def test_every_kind_of_client_gets_whole_answers(probe: str) -> None:
    profile = "keep-alive=1x0.01 close=1x0.01 new=20 answer=1x0.3 upload=1x0.3 sse=1x1 ws=1x0.6"
    with load.running(probe, profile, load.PROBE) as client:
        client.wait(requests=60, release="r1", streams=4)
        time.sleep(0.5)
    assert client.report.failed == 0, client.report.text()
    assert set(client.report.document["kinds"]) == set(load.KINDS)


def test_an_upload_that_arrives_in_part_is_found(serve: Callable[[Answer], str]) -> None:
    other = b'{"sha256": "of something else"}'
    head = f"HTTP/1.1 200 OK\r\nX-Release: r1\r\nContent-Length: {len(other)}\r\n\r\n".encode()

    def answer(s: socket.socket, _: bytes, __: int) -> bool:
        s.settimeout(0.4)  # longer than the client's pauses: then all has come
        with contextlib.suppress(TimeoutError):
            while s.recv(65536):
                continue
        s.sendall(head + other)
        return False

    target = load.Target(upload="/u", body="x" * 4000, uploaded='"sha256": "{sha256}"')
    with load.running(serve(answer), "upload=1x0.1", target) as client:
        client.wait(failed=1)
    assert "wrong body" in client.report.document["reasons"]
