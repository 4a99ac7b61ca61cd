"""A repository over HTTP, as restic's own rest-server keeps one: what `rest:` URLs speak with, in a thread of the test.

https://restic.readthedocs.io/en/stable/REST_backend.html; with a password, without TLS.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_KINDS = ("data", "keys", "locks", "snapshots", "index")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _answer(self, code: int, body: bytes = b"", kind: str = "", length: int | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if kind:
            self.send_header("Content-Type", kind)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wanted = "Basic " + base64.b64encode(self.server.login.encode()).decode()
        if self.headers.get("Authorization") != wanted:
            return self._answer(401)
        path, _, query = self.path.partition("?")
        inside = path.strip("/").split("/")[1:]  # the first is the repository's name
        place = self.server.folder.joinpath(*inside)
        if not inside:
            return self._create() if self.command == "POST" and "create=true" in query else self._answer(404)
        if len(inside) == 1 and inside[0] in _KINDS:
            return self._list(place)
        return {"POST": self._store, "DELETE": self._delete}.get(self.command, self._give)(place, body)

    do_GET = do_HEAD = do_POST = do_DELETE = _do  # noqa: N815 - as the base class wants it

    def _create(self) -> None:
        for kind in _KINDS:
            (self.server.folder / kind).mkdir(parents=True, exist_ok=True)
        self._answer(200)

    def _list(self, place: Path) -> None:
        files = sorted(place.iterdir()) if place.is_dir() else []
        told = [{"name": f.name, "size": f.stat().st_size} for f in files]
        self._answer(200 if place.is_dir() else 404, json.dumps(told).encode(), "application/vnd.x.restic.rest.v2")

    def _give(self, place: Path, _: bytes) -> None:
        if not place.is_file():
            return self._answer(404)
        data, code = place.read_bytes(), 200
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if part:
            data, code = data[int(part[1]) : int(part[2]) + 1 if part[2] else None], 206
        return self._answer(code, b"" if self.command == "HEAD" else data, "binary/octet-stream", len(data))

    def _store(self, place: Path, body: bytes) -> None:
        if self.server.room is not None and self.server.stored() + len(body) > self.server.room:
            return self._answer(507)
        if place.name != "config" and hashlib.sha256(body).hexdigest() != place.name:
            return self._answer(400)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        return self._answer(200)

    def _delete(self, place: Path, _: bytes) -> None:
        place.unlink(missing_ok=True)
        self._answer(200)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """One repository in a folder; `room`: the bytes that it takes at most."""

    daemon_threads = True

    def __init__(self, folder: Path, login: str, port: int = 0) -> None:
        super().__init__(("0.0.0.0", port), _Handler)
        self.folder, self.login, self.room = folder, login, None
        self.room: int | None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stored(self) -> int:
        """Return the bytes that are stored."""
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file())

    def url(self, address: str) -> str:
        """Return restic's URL of it, for one that sees this machine at an address; the login is not in it."""
        return f"rest:http://{address}:{self.port}/ours/"


@contextlib.contextmanager
def serving(folder: Path, login: str = "slipway:rest-password") -> Iterator[Server]:
    """Serve a repository from a folder during the block, which is removed in the end."""
    server = Server(folder, login)
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(folder, ignore_errors=True)
