"""Requests over HTTP: redirects, proxies and authorities, against servers of a few lines on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi
import pytest

from slipway.image import web
from slipway.image.web import Unanswered, Web


class Server(ThreadingHTTPServer):
    """Keeps what it was asked: path and Authorization. Sends to `other` what asks for /elsewhere, to itself what asks for /here."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []
        self.other = ""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        moved = {"/elsewhere": f"{self.server.other}/moved", "/here": "/moved"}.get(self.path)
        self.send_response(307 if moved else 200)
        if moved:
            self.send_header("Location", moved)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    made = Server(), Server()
    for server in made:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(("path", "kept"), [("/here", "Bearer t0"), ("/elsewhere", "")])
def test_credentials_stay_with_the_host_that_they_are_for(servers: tuple[Server, Server], path: str, kept: str) -> None:
    first, second = servers
    first.other = second.url
    answer = Web().request("GET", first.url + path, headers={"Authorization": "Bearer t0"})
    assert (answer.status, answer.data) == (200, b"ok")
    assert (first.asked + second.asked)[-1] == ("/moved", kept)


def test_parameters(servers: tuple[Server, Server]) -> None:
    asks = Web()
    asks.request("GET", f"{servers[0].url}/a", params={"scope": "repository:a/b"})
    asks.request("GET", f"{servers[0].url}/a?b=c", params={"n": "1"})
    assert [path for path, _ in servers[0].asked] == ["/a?scope=repository%3Aa%2Fb", "/a?b=c&n=1"]


def test_a_proxy(servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, direct = servers
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    Web().request("GET", "http://registry.example/v2/")
    assert proxy.asked == [("http://registry.example/v2/", "")]
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    Web().request("GET", f"{direct.url}/v2/")
    assert direct.asked == [("/v2/", "")]


def test_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    assert web._authorities() == {"ca_certs": certifi.where()}
    monkeypatch.setenv("CURL_CA_BUNDLE", "/etc/ssl/certs")
    assert web._authorities() == {"ca_cert_dir": "/etc/ssl/certs"}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/our.pem")
    assert web._authorities() == {"ca_certs": "/etc/our.pem"}


def test_what_speaks_no_tls(servers: tuple[Server, Server]) -> None:
    with pytest.raises(Unanswered, match="SSL"):
        Web().request("GET", servers[0].url.replace("http:", "https:"))
