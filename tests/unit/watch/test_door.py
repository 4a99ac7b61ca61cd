"""The front door is asked what the live release says of itself, through the router, by a real HTTP server here."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from slipway.watch import door


class Door(BaseHTTPRequestHandler):
    """Answers 200 or what `answers` says of a path; remembers what it was asked."""

    answers: ClassVar[dict[str, int]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        self.send_response(self.answers.get(self.path, 200))
        self.end_headers()
        self.wfile.write(b"the flux capacitor\nis empty")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Door.answers, Door.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def release(*routes: tuple[str, str, str | None, str | None], domain: str | None = None) -> dict[str, Any]:
    """Return what is recorded of a release: routes as (service, path, live, ready)."""
    return {
        "router": {"domain": domain, "routes": [{"service": s, "path": p, "live": live} for s, p, live, _ in routes]},
        "services": {s: {"ready": ready} for s, _, _, ready in routes},
    }


def test_a_service_is_asked_where_it_says_that_it_is_ready(url: str) -> None:
    made = release(
        ("web", "/", "/health", "/health/ready"), ("extra", "/extra", "/health", "/health/ready"), domain="a.test"
    )
    assert door.problems(url, made) == []
    assert Door.asked == [("/health/ready", "a.test"), ("/extra", "a.test")], (
        "the second's health is not behind its route"
    )
    Door.answers = {"/health/ready": 503, "/extra": 404}
    (problem,) = door.problems(url, made)
    assert problem == f"{url}/health/ready answers 503: the flux capacitor is empty"


def test_a_route_elsewhere_without_a_health_path(url: str) -> None:
    made = release(("api", "/api", None, None))
    Door.answers = {"/health/ready": 500, "/api": 405}
    assert door.problems(url, made) == [], "an answer of its own will do"
    assert [path for path, _ in Door.asked] == ["/api"]
    Door.answers = {"/api": 503}
    assert "answers 503" in door.problems(url, made)[0]


def test_health_below_the_route(url: str) -> None:
    assert door.problems(url, release(("api", "/api/", "/api/live", "/ready"))) == []
    assert [path for path, _ in Door.asked] == ["/api/live"]


def test_a_path_that_another_service_has(url: str) -> None:
    routes = release(("web", "/", "/health", "/health"), ("checks", "/health", None, None))
    assert door.problems(url, routes) == []
    assert [path for path, _ in Door.asked] == ["/", "/health"]


def test_a_door_that_is_shut() -> None:
    (problem,) = door.problems("http://127.0.0.1:1", release(("web", "/", None, None)))
    assert "does not answer" in problem
    assert door.problems("http://127.0.0.1:1", release()) == [], "no route, no door"
