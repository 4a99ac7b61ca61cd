"""The registry client, against a registry of a few lines on this machine."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slipway.errors import SlipwayError
from slipway.image.registry import RegistryClient
from slipway.settings.model import Registry

DIGEST = "sha256:" + "a" * 64


class Server(ThreadingHTTPServer):
    """Knows manifests by path; wants a token, or a user and a password, where it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.manifests = {"/v2/team/probe/web/manifests/v1": b'{"layers": []}'}
        self.wants = ""
        self.broken = False
        self.asked: list[tuple[str, str]] = []

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        return not self.server.wants or given == self.server.wants

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path))
        if self.path.startswith("/token"):
            user = base64.b64encode(b"ci:geheim").decode()
            right = self.headers.get("Authorization") == f"Basic {user}" and "scope=repository" in self.path
            return self._answer(200, b'{"token": "t0"}') if right else self._answer(401)
        if self.server.broken:
            return self._answer(503, b"maintenance")
        if not self._allowed():
            realm = f'Bearer realm="http://{self.server.name}/token",service="r",scope="repository:probe/web:pull"'
            return self._answer(401, WWW_Authenticate=realm)
        found = self.server.manifests.get(self.path)
        if found is None:
            return self._answer(404)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        return self._answer(200, found, Docker_Content_Digest=DIGEST, Content_Type=kind)

    do_HEAD = do_GET  # noqa: N815 - http.server looks it up by this name

    def do_PUT(self) -> None:
        self.server.asked.append((self.command, self.path))
        self.server.manifests[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def client(server: Server, password: str | None = None) -> RegistryClient:
    registry = Registry(push=f"{server.name}/team", insecure=True, username="ci" if password else None)
    return RegistryClient(registry, password)


def test_a_tag_and_one_that_there_is_not(server: Server) -> None:
    assert client(server).digest("probe/web", "v1") == DIGEST
    assert client(server).digest("probe/web", "v2") is None


def test_another_tag_for_the_same_image(server: Server) -> None:
    server.manifests[f"/v2/team/probe/web/manifests/{DIGEST}"] = b'{"layers": []}'
    client(server).retag("probe/web", DIGEST, "v2")
    assert server.manifests["/v2/team/probe/web/manifests/v2"] == b'{"layers": []}'
    assert client(server).digest("probe/web", "v2") == DIGEST


def test_a_token_is_fetched_once(server: Server) -> None:
    server.wants = "Bearer t0"
    found = client(server, "geheim")
    assert found.digest("probe/web", "v1") == DIGEST
    assert found.digest("probe/web", "v1") == DIGEST
    assert [path for _, path in server.asked if path.startswith("/token")] == [
        "/token?service=r&scope=repository%3Aprobe%2Fweb%3Apull"
    ]


def test_a_wrong_password(server: Server) -> None:
    server.wants = "Bearer t0"
    with pytest.raises(SlipwayError, match="gives no token") as caught:
        client(server, "falsch").digest("probe/web", "v1")
    assert "registry.password" in caught.value.todo
    assert "falsch" not in str(caught.value)


def test_a_registry_in_trouble(server: Server) -> None:
    server.broken = True
    with pytest.raises(SlipwayError, match="the registry refused") as caught:
        client(server).digest("probe/web", "v1")
    assert "503" in caught.value.seen


def test_a_registry_that_is_not_there(server: Server) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(SlipwayError, match="the registry does not answer") as caught:
        client(server).digest("probe/web", "v1")
    assert caught.value.where == server.name
    assert caught.value.exit_code == 1


def test_labels_of_an_image_and_of_a_list_of_images(server: Server) -> None:
    path, first = "/v2/team/probe/web", "sha256:" + "b" * 64
    server.manifests |= {
        f"{path}/manifests/{DIGEST}": b'{"manifests": [{"digest": "%s"}]}' % first.encode(),
        f"{path}/manifests/{first}": b'{"config": {"digest": "sha256:c"}}',
        f"{path}/blobs/sha256:c": b'{"config": {"Labels": {"slipway.migrations": "d1"}}}',
    }
    assert client(server).labels("probe/web", first) == {"slipway.migrations": "d1"}
    assert client(server).labels("probe/web", DIGEST) == {"slipway.migrations": "d1"}
    assert client(server).labels("probe/web", "sha256:" + "e" * 64) == {}
    server.manifests[f"{path}/blobs/sha256:c"] = b'{"config": {}}'
    assert client(server).labels("probe/web", first) == {}
