"""A visitor of the front door who comes again and again while something happens, and remembers each answer."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """One answer: status, X-Release, body."""

    status: int
    release: str | None
    body: str

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


def get(
    url: str, path: str = "/", method: str = "GET", body: Any = None, host: str = "", timeout: float = 30
) -> Answer:
    """Ask once, on a new connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Host": host} if host else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.get("X-Release"), answer.read().decode())
    finally:
        connection.close()


@dataclass
class Visitor:
    """Asks for `path`, each time on a new connection, from two threads with `pause` seconds between, until the block ends."""

    url: str
    path: str = "/"
    pause: float = 0.05
    count: int = 0
    failures: list[str] = field(default_factory=list)
    releases: dict[str, float] = field(default_factory=dict)
    """When each release was first seen (monotonic seconds)."""
    last: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Visitor:
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(2)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _visit(self) -> None:
        while not self._end.wait(self.pause):
            try:
                answer = get(self.url, self.path)
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {answer.body[:200]}")
                self.releases.setdefault(str(answer.release), time.monotonic())
                self.last[str(answer.release)] = time.monotonic()
            except OSError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.count += 1

    def happy(self) -> None:
        """Fail where an answer was not as it should be, or there were next to none."""
        assert not self.failures, f"{len(self.failures)} of {self.count} requests failed: {self.failures[:3]}"
        assert self.count > 10
