"""Smoke tests: a request and the answer that proves the stack does its job; what differs is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slipway.agent import smoke
from slipway.agent.failure import OperationFailed
from tests.unit.agent.conftest import BROKEN_CHUNKS, NOT_HTTP, answering


class Scores(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"score": asked["amount"] / 10, "host": self.headers["Host"], "model": "1"}).encode()
        self._answer(200, body)

    def do_GET(self) -> None:
        self._answer(404, b"nothing here")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Release", "v1-abc")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scores)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test(name: str = "scores", **changes: Any) -> dict[str, Any]:
    base = {"method": "POST", "path": "/score", "json": {"amount": 20}, "status": 200, "contains": None, "expect": {}}
    return {"name": name, **base, **changes}


test.__test__ = False  # type: ignore[attr-defined]  # a smoke test, not one of pytest's


def test_all_pass(port: int) -> None:
    missing = test("misses", method="GET", path="/x", json=None, status=404, contains="nothing")
    tests = [test(expect={"score": 2.0, "model": "1"}), missing]
    assert smoke.run(tests, port, None, "v1-abc") == ["scores", "misses"]


def test_the_domain_is_asked_for(port: int) -> None:
    assert smoke.run([test(expect={"host": "www.example.com"})], port, "www.example.com", "v1-abc")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": 201}, "status 201 was expected"),
        ({"contains": "verdict"}, "'verdict' is not in the body"),
        ({"expect": {"model": "2"}}, "model: '2' was expected, '1' came"),
        ({"expect": {"nothing": 1}}, "nothing: 1 was expected, None came"),
        ({"method": "GET", "json": None, "status": 404, "expect": {"a": 1}}, "the body is not JSON"),
    ],
)
def test_what_differs_is_told(port: int, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OperationFailed, match="smoke test 'scores' failed") as caught:
        smoke.run([test(**changes)], port, None, "v1-abc")
    assert says in caught.value.seen
    assert f":{port}/score" in caught.value.seen


def test_an_answer_of_another_release(port: int) -> None:
    with pytest.raises(OperationFailed) as caught:
        smoke.run([test()], port, None, "v2-def")
    assert "X-Release is v1-abc, not v2-def" in caught.value.seen


def test_no_answer() -> None:
    with pytest.raises(OperationFailed, match="got no answer"):
        smoke.run([test()], 1, None, "v1-abc")


@pytest.mark.parametrize("answer", [NOT_HTTP, BROKEN_CHUNKS])
def test_no_whole_answer(answer: bytes) -> None:
    with answering(answer) as (_, port), pytest.raises(OperationFailed, match="got no answer"):
        smoke.run([test()], port, None, "v1-abc")
