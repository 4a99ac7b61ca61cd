"""A connection to a cluster: one `kubectl proxy` for a whole run, which has the credentials; requests go over its Unix socket.

A kubectl of its own for each thing asked would cost a start and a handshake each time. The proxy ends when its standard input
does: with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from slipway.errors import BadInput, SlipwayError
from slipway.settings.model import Kubernetes
from slipway.target.kubernetes import kubectl

_ENDS_WITH_US = 'exec 3<&0; "$@" & p=$!; { cat <&3 >/dev/null; kill $p 2>/dev/null; rm -rf "$0"; } & wait $p'
"""Runs a command until standard input ends, and removes the folder `$0` then: both outlive no deployer, however that ended."""
_START_WITHIN, _ANSWER_WITHIN = 20.0, 40.0
PATIENCE = 60.0
"""Seconds for which an API server that went away in the middle of a run is waited for."""
AGAIN_AFTER = 0.5
"""Seconds until what did not come to the API server is sent again."""
_BUSY = frozenset({429, 500, 502, 503, 504})


class ApiError(SlipwayError):
    """The API server said no.

    Args:
        status: its answer, a Status document.
        what: what was asked of it.
    """

    def __init__(self, status: Mapping[str, Any], what: str) -> None:
        self.code = int(status.get("code") or 0)
        self.reason = str(status.get("reason") or "")
        self.status = dict(status)
        super().__init__(f"the cluster refuses {what}", seen=str(status.get("message") or self.reason))


class Away(SlipwayError):
    """The API server can't be reached."""


class NotAllowed(BadInput):
    """Our credentials are not accepted, or lack a right."""


class Transport:
    """A way to ask the API server of the cluster that an environment names.

    Args:
        settings: which.
    """

    def __init__(self, settings: Kubernetes) -> None:
        self.settings = settings
        self.patience = 0.0
        """Seconds for which to wait for an API server that is away; a run sets it once it has begun."""
        self.may_change: Callable[[], None] = lambda: None
        """Asked before a change is tried again, which was waited with: raises where somebody else has the lease by now."""
        self._folder: Path | None = None
        self.socket = ""
        """The proxy's once that was started, for who else asks in this run."""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start the proxy and ask for the API server's version.

        Raises:
            BadInput: there is no kubeconfig, no such context, or its credentials are not accepted.
            SlipwayError: the API server can't be reached.
        """
        try:
            self.start()
            self._wait()
            self.get("/version")
        except BaseException:
            self.close()
            raise
        return self

    def start(self) -> None:
        """Start the proxy and do not wait for it: there is other work meanwhile. Raises SlipwayError where there is no kubectl."""
        if self._process is None:
            self._folder = Path(tempfile.mkdtemp(prefix="slipway-k8s-"))
            self.socket = str(self._folder / "proxy")
            argv = [kubectl.program(), *kubectl.flags(self.settings), "proxy", "--unix-socket", self.socket]
            self._process = subprocess.Popen(
                ["sh", "-c", _ENDS_WITH_US, str(self._folder), *argv],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self.patience = 0.0
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        """Wait until the proxy listens; tell why it does not."""
        assert self._process  # noqa: S101 - just started
        until = time.monotonic() + _START_WITHIN
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.socket)
                return
            if self._process.poll() is not None:
                assert self._process.stdin and self._process.stderr  # noqa: S101 - pipes
                self._process.stdin.close()  # what waits for its end has standard error open as well
                said = self._process.stderr.read()
                kubectl.refuse_old()
                raise self._no_cluster(said)
            time.sleep(0.01)
        raise SlipwayError("kubectl proxy did not start", where=self.settings.context)

    def _no_cluster(self, said: str) -> SlipwayError:
        seen = said.strip().removeprefix("error: ")
        todo = "kubectl config get-contexts lists those that there are"
        return BadInput(
            f"there is no way to the cluster {self.settings.context}",
            where="kubernetes.context",
            seen=seen,
            todo=todo,
        )

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        what: str = "",
        kind: str = "application/json",
        patience: float | None = None,
        **query: Any,
    ) -> dict[str, Any]:
        """Ask the API server; wait for one that went away, as long as `patience` says.

        Args:
            method: of HTTP.
            path: the API's.
            body: a JSON value.
            what: what this is, for errors ("deployment api").
            kind: the body's type.
            patience: another one for this request.
            query: of the URL.

        Raises:
            ApiError: it said no.
            Away: it can't be reached.
            NotAllowed: it does not accept our credentials, or we may not do that.
            SlipwayError: what `may_change` raised.
        """
        until = time.monotonic() + (self.patience if patience is None else patience)
        while True:
            try:
                code, text = self.ask(method, path, body, kind, query)
            except (OSError, http.client.HTTPException) as error:
                code, text = 502, str(error)
            answer = status_of(text)
            if code < 300:
                return answer
            if code not in _BUSY or (code == 500 and answer.get("kind") == "Status") or time.monotonic() >= until:
                raise self._refused(code, answer, text, what or f"{method} {path}")
            time.sleep(AGAIN_AFTER)
            if method != "GET":
                self.may_change()

    def ask(self, method: str, path: str, body: Any, kind: str, query: Mapping[str, Any]) -> tuple[int, str]:
        """Ask once; return status and text, whatever they are. Raises OSError, HTTPException where nobody answers."""
        with contextlib.closing(self.open()) as connection:
            url = path + (f"?{urlencode(query, doseq=True)}" if query else "")
            text = None if body is None else json.dumps(body)
            connection.request(method, url, text, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def open(self) -> http.client.HTTPConnection:
        """Return a connection to the proxy."""
        return _Connection(self.socket)

    def _refused(self, code: int, answer: Mapping[str, Any], text: str, what: str) -> SlipwayError:
        where = self.settings.context
        if code == 401:
            return NotAllowed(
                "the cluster does not accept these credentials", where=where,
                seen=str(answer.get("message") or "401"),
                todo=f"log in again; `kubectl --context {where} get ns` tells whether it worked",
            )  # fmt: skip
        if code == 403 and answer.get("reason") == "Forbidden" and "is forbidden: User" in str(answer.get("message")):
            return NotAllowed(
                f"you may not do that on the cluster: {what}", where=where, seen=str(answer["message"]),
                todo="have the right given to you (docs/kubernetes.md lists what is needed)",
            )  # fmt: skip
        if code in _BUSY and answer.get("kind") != "Status":
            seen = " ".join(text.split())[:300]
            return Away(
                "the cluster's API server does not answer",
                where=where,
                seen=seen,
                todo=f"kubectl --context {where} version",
            )
        told = {**answer, "code": code} if answer.get("kind") == "Status" else {"code": code, "message": text[:300]}
        return ApiError(told, what)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return what there is at a path. Raises as `request`."""
        return self.request("GET", path, **query)

    def stream(self, path: str, **query: Any) -> Iterator[str]:
        """Yield the lines of an answer as they come, until it ends. Raises as `request`."""
        with contextlib.closing(self.open()) as connection:
            connection.timeout = None
            connection.request("GET", path + (f"?{urlencode(query, doseq=True)}" if query else ""))
            answer = connection.getresponse()
            if answer.status >= 300:
                text = answer.read().decode(errors="replace")
                raise self._refused(answer.status, status_of(text), text, path)
            for line in answer:
                yield line.decode(errors="replace").rstrip("\n")


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_ANSWER_WITHIN)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def status_of(text: str) -> dict[str, Any]:
    """Return an answer as a value; nothing where it is none of the API server's own."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
