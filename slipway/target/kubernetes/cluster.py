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
from typing import Any
from urllib.parse import quote, urlencode

from slipway.errors import BadInput, SlipwayError
from slipway.settings.model import Kubernetes
from slipway.target.kubernetes import kubectl
from slipway.target.kubernetes.kinds import KINDS, Kind

MANAGER = "slipway"
"""The field manager: what we applied, and others may not change unnoticed."""

_ENDS_WITH_US = 'exec 3<&0; "$@" & p=$!; { cat <&3 >/dev/null; kill $p 2>/dev/null; rm -rf "$0"; } & wait $p'
"""Runs a command until standard input ends, and removes the folder `$0` then: both outlive no deployer, however that ended."""
_START_WITHIN, _ANSWER_WITHIN = 20.0, 40.0
PATIENCE = 60.0
"""Seconds for which an API server that went away in the middle of a run is waited for."""
_AGAIN_AFTER = 0.5
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


class Cluster:
    """The cluster that an environment names.

    Args:
        settings: which.
    """

    def __init__(self, settings: Kubernetes) -> None:
        self.settings = settings
        self.patience = 0.0
        """Seconds for which to wait for an API server that is away; a run sets it once it has begun."""
        self.may_change: Callable[[], None] = lambda: None
        """Asked before a change is tried again, which was waited with: raises where somebody else has the lease by now."""
        self._folder = Path(tempfile.mkdtemp(prefix="slipway-k8s-"))
        self._socket = str(self._folder / "proxy")
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Cluster:
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
            argv = [kubectl.program(), *kubectl.flags(self.settings), "proxy", "--unix-socket", self._socket]
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
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        """Wait until the proxy listens; tell why it does not."""
        assert self._process  # noqa: S101 - just started
        until = time.monotonic() + _START_WITHIN
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self._socket)
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
                code, text = self._ask(method, path, body, kind, query)
            except (OSError, http.client.HTTPException) as error:
                code, text = 502, str(error)
            answer = _status(text)
            if code < 300:
                return answer
            if code not in _BUSY or (code == 500 and answer.get("kind") == "Status") or time.monotonic() >= until:
                raise self._refused(code, answer, text, what or f"{method} {path}")
            time.sleep(_AGAIN_AFTER)
            if method != "GET":
                self.may_change()

    def _ask(self, method: str, path: str, body: Any, kind: str, query: Mapping[str, Any]) -> tuple[int, str]:
        with contextlib.closing(self._open()) as connection:
            url = path + (f"?{urlencode(query, doseq=True)}" if query else "")
            text = None if body is None else json.dumps(body)
            connection.request(method, url, text, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def _open(self) -> http.client.HTTPConnection:
        return _Connection(self._socket)

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

    def find(self, path: str) -> dict[str, Any] | None:
        """Return what there is at a path, None where nothing is."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def items(self, kind: Kind, namespace: str, **selector: str) -> list[dict[str, Any]]:
        """Return all objects of a kind in a namespace that have these labels, or all."""
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in selector.items())} if selector else {}
        found = self.get(kind.path(namespace), **query)["items"]
        return [{"apiVersion": kind.api, "kind": kind.name, **item} for item in found]

    def apply(self, manifest: Mapping[str, Any], *, dry: bool = False, force: bool = False) -> dict[str, Any]:
        """Apply a manifest on the server's side, under our field manager.

        Args:
            manifest: what is to be.
            dry: have it checked and answered, and store nothing.
            force: take fields from other managers.

        Raises:
            ApiError: it is not accepted; code 409: others own fields of it.
        """
        query: dict[str, Any] = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        words = f"{manifest['kind'].lower()} {manifest['metadata']['name']}"
        return self.request(
            "PATCH", path_of(manifest), manifest, what=words, kind="application/apply-patch+yaml",
            **(query | ({"dryRun": "All"} if dry else {})),
        )  # fmt: skip

    def delete(self, path: str, *, propagation: str = "Background", uid: str = "") -> None:
        """Remove an object, if it is there; with a uid only that one, none that has its name by now."""
        only = {"preconditions": {"uid": uid}} if uid else {}
        try:
            self.request("DELETE", path, {"propagationPolicy": propagation, **only})
        except ApiError as error:
            if error.code != 404 and not (uid and error.code == 409):
                raise

    def logs(self, namespace: str, pod: str, *, lines: int = 10, previous: bool = False, container: str = "") -> str:
        """Return the last lines that a pod said; "" where there are none."""
        query = {"tailLines": lines, **({"previous": "true"} if previous else {})}
        query |= {"container": container} if container else {}
        try:
            code, text = self._ask("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", None, "", query)
        except OSError:
            return ""
        return text.strip() if code == 200 else ""

    def stream(self, path: str, **query: Any) -> Iterator[str]:
        """Yield the lines of an answer as they come, until it ends. Raises as `request`."""
        with contextlib.closing(self._open()) as connection:
            connection.timeout = None
            connection.request("GET", path + (f"?{urlencode(query, doseq=True)}" if query else ""))
            answer = connection.getresponse()
            if answer.status >= 300:
                text = answer.read().decode(errors="replace")
                raise self._refused(answer.status, _status(text), text, path)
            for line in answer:
                yield line.decode(errors="replace").rstrip("\n")

    def visit(
        self, namespace: str, service: str, port: str, path: str, *, method: str = "GET", body: Any = None
    ) -> tuple[int, str]:
        """Return status and body of a Service's answer, asked through the API server: it needs no way in of its own.

        A request that changes nothing is sent again where it did not come to the Service, as long as `patience` says.
        """
        url = f"/api/v1/namespaces/{namespace}/services/{quote(f'http:{service}:{port}')}/proxy{path}"
        until = time.monotonic() + self.patience
        while True:
            code, text = self._visit(method, url, body)
            lost = code in (0, 502) or (code == 503 and _status(text).get("kind") == "Status")  # not the app's own 503
            if not lost or method not in ("GET", "HEAD") or time.monotonic() >= until:
                return code, text
            time.sleep(_AGAIN_AFTER)

    def _visit(self, method: str, url: str, body: Any) -> tuple[int, str]:
        with contextlib.closing(self._open()) as connection:
            text = None if body is None else json.dumps(body)
            try:
                connection.request(method, url, text, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                return answer.status, answer.read(65536).decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                return 0, str(error)


def path_of(manifest: Mapping[str, Any]) -> str:
    """Return the API's path of a manifest's object."""
    metadata = manifest["metadata"]
    if manifest["kind"] == "Namespace":
        return f"/api/v1/namespaces/{metadata['name']}"
    return KINDS[manifest["kind"]].path(metadata["namespace"], metadata["name"])


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


def _status(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
