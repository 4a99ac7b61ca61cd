"""The host's Docker Engine: its API over the Unix socket, and `docker compose`.

Looking (inspect, list, logs) and pulling go through the API: a `docker` process costs 50-100 ms each. Projects are Compose's work.
Source: Engine API 1.41, https://docs.docker.com/reference/api/engine/version/v1.41/
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import posixpath
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from .failure import OperationFailed

CRITICAL = threading.Lock()
"""Held while there is no router: whoever ends this process waits for it, a little."""

TASK = "slipway.task"
"""Label of containers that do something for Slipway itself and are of no release: its value is the task."""

SOCKET = os.environ.get("SLIPWAY_DOCKER_SOCKET", "/var/run/docker.sock")


class _Connection(http.client.HTTPConnection):
    def __init__(self, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def _connect(connection: _Connection) -> None:
    """Connect, giving an engine that is being restarted a moment: containers live on meanwhile (live-restore)."""
    for attempt in range(50):
        try:
            connection.connect()
            return
        except (ConnectionRefusedError, FileNotFoundError):
            if attempt == 49:
                raise
            time.sleep(0.2)


@contextlib.contextmanager
def _request(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 60
) -> Iterator[http.client.HTTPResponse]:
    connection = _Connection(timeout)
    try:
        _connect(connection)
        payload = None if body is None else json.dumps(body)
        connection.request(method, "/v1.41" + path, payload, {"Content-Type": "application/json", **(headers or {})})
        yield connection.getresponse()
    except (
        OSError,
        http.client.HTTPException,
    ) as error:  # an engine that restarts breaks off in the middle of an answer
        raise OperationFailed("the Docker Engine does not answer", f"{SOCKET}: {error}") from error
    finally:
        connection.close()


def api(method: str, path: str, body: Any = None, *, timeout: float = 60, **query: str) -> Any:
    """Call the Engine API. Return the decoded answer, or None for 404.

    Raises:
        OperationFailed: the engine does not answer, or answers with an error.
    """
    with _request(method, path + ("?" + urlencode(query) if query else ""), body, timeout=timeout) as answer:
        data = answer.read()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise OperationFailed(
                f"the Docker Engine refused {method} {path}", f"{answer.status} {data.decode()[:500]}"
            )
        return json.loads(data) if data else {}


def containers(*services: str, **labels: str) -> list[dict[str, Any]]:
    """Return full inspections of all containers, running or not, that carry these labels (`_` stands for `.`).

    `services`: only theirs (none: all). Who looks again and again names them: each container costs the engine a millisecond.
    """
    wanted = [f"{k.replace('_', '.')}={v}" if v else k.replace("_", ".") for k, v in labels.items()]
    listed = api("GET", "/containers/json", all="true", filters=json.dumps({"label": wanted}))
    mine = [c for c in listed if not services or c["Labels"].get("slipway.service") in services]
    found = (api("GET", f"/containers/{c['Id']}/json") for c in mine)
    return [c for c in found if c]  # one may vanish between the two calls


def moment(told: str) -> float:
    """Return a moment as the engine writes it (`2026-01-31T12:00:00.123456789Z`) as seconds since 1970, by this host's clock."""
    return datetime.fromisoformat(f"{told[:19]}+00:00").timestamp()


def of_release(stack: str, release: str, *services: str) -> list[dict[str, Any]]:
    """Return the containers of a release (`services`: only theirs), without those of jobs that ran in its name."""
    return containers(*services, slipway_stack=stack, slipway_release=release, com_docker_compose_oneoff="False")


def release_of(container: dict[str, Any]) -> str:
    """Return the release that a container (an inspection) is of, "" for an accessory."""
    return str(container["Config"]["Labels"].get("slipway.release", ""))


def logs(container: str, lines: int = 15, since: float = 0) -> str:
    """Return the last log lines of a container, standard output and error in order; those since a moment (s since 1970)."""
    query = urlencode({"stdout": "true", "stderr": "true", "tail": str(lines), "since": f"{since:.3f}"})
    with _request("GET", f"/containers/{container}/logs?{query}") as answer:
        data = answer.read()
    text, at = b"", 0
    while at + 8 <= len(data):  # frames: stream, 3 zero bytes, length
        (size,) = struct.unpack(">I", data[at + 4 : at + 8])
        text += data[at + 8 : at + 8 + size]
        at += 8 + size
    return text.decode(errors="replace").rstrip()


def last_exit(container: str) -> int | None:
    """Return the exit code with which a container ended last, also where it has been started again since; None: unknown."""
    filters = json.dumps({"container": [container], "event": ["die"]})
    # Without an end the engine would go on telling what happens.
    query = urlencode({"since": "1", "until": str(int(time.time()) + 1), "filters": filters})
    with _request("GET", f"/events?{query}") as answer:
        codes = [json.loads(line)["Actor"]["Attributes"].get("exitCode") for line in answer.read().splitlines()]
    return int(codes[-1]) if codes and codes[-1] is not None else None


def folder_of_image(image: str, folder: str, stack: str) -> dict[str, str]:
    """Return the texts of the files below a folder of an image, by path there. No container is started for it.

    Args:
        image: by digest; it is on this host.
        folder: absolute, or below the image's working directory.
        stack: whose image: what a killed agent leaves is removed with the stack's leftovers.

    Raises:
        OperationFailed: the image has no such folder.
    """
    import io
    import tarfile

    labels = {"slipway.stack": stack, "com.docker.compose.oneoff": "True"}
    made = api("POST", "/containers/create", {"Image": image, "Cmd": ["true"], "Labels": labels})
    if made is None:
        raise OperationFailed("an image is not on this host", image)
    try:
        path = posixpath.join(_config(image).get("WorkingDir") or "/", folder)
        with _request("GET", f"/containers/{made['Id']}/archive?" + urlencode({"path": path})) as answer:
            data = answer.read()
            if answer.status >= 400:
                raise OperationFailed(f"the image has no folder {path}", image, bad_input=True)
    finally:
        api("DELETE", f"/containers/{made['Id']}", force="true", v="true")
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file:  # names begin with the folder's own
                found[member.name.partition("/")[2]] = file.read().decode(errors="replace")
    return found


def label(image: str, name: str) -> str:
    """Return a label of an image on this host, "" where it has none."""
    return str((_config(image).get("Labels") or {}).get(name, ""))


def _config(image: str) -> dict[str, Any]:
    return (api("GET", f"/images/{quote(image, safe='/:@')}/json") or {}).get("Config") or {}


def has_image(reference: str) -> bool:
    """Tell whether an image is on this host."""
    return api("GET", f"/images/{quote(reference, safe='/:@')}/json") is not None


def pull(reference: str, auth: dict[str, str] | None, progress: Callable[[str], None]) -> None:
    """Pull an image by digest or tag, with the registry's credentials for this call only, and for that registry only.

    Raises:
        OperationFailed: with what the engine said; the engine reports any trouble of a mirror (a full disk too) as the
            upstream registry not being found, so the disk is looked at first.
    """
    name, _, tag = reference.partition("@") if "@" in reference else reference.rpartition(":")
    headers = {}
    if auth and name.startswith(f"{auth['serveraddress']}/"):
        import base64

        headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()
    path = "/images/create?" + urlencode({"fromImage": name, "tag": tag})
    layers: dict[str, tuple[int, int]] = {}
    with _request("POST", path, headers=headers, timeout=900) as answer:
        if answer.status >= 400:
            raise _pull_failed(reference, answer.read().decode(errors="replace"))
        for line in answer:
            event = json.loads(line)
            if "error" in event:
                raise _pull_failed(reference, event["error"])
            detail = event.get("progressDetail") or {}
            if event.get("status") == "Downloading" and detail.get("total"):
                layers[event["id"]] = (detail["current"], detail["total"])
                done, total = (sum(v[i] for v in layers.values()) / 1e6 for i in (0, 1))
                progress(f"{name.rsplit('/', 1)[-1]} {done:.0f} of {total:.0f} MB")


def _pull_failed(reference: str, seen: str) -> OperationFailed:
    free = os.statvfs("/var/lib").f_bavail * os.statvfs("/var/lib").f_frsize
    if free < 200e6 or "no space left" in seen:
        seen = f"{free / 1e6:.0f} MB free on /var/lib; {seen}"
    return OperationFailed(f"image {reference} could not be pulled", seen)


_children: dict[subprocess.Popen[str], str] = {}
"""The commands in hand, and for `docker run` the name of its container."""
_children_lock = threading.Lock()


def kill_children() -> None:
    """Kill the commands in hand: their deployer is gone. Their containers are removed by the engine, which outlives us."""
    with _children_lock:
        for process in _children:
            process.kill()
        names = [name for name in _children.values() if name]
        if names and not os.environ.get("SLIPWAY_POD"):  # in a pod they end with it
            argv = ["docker", "rm", "--force", "--volumes", *names]
            quiet = subprocess.DEVNULL
            subprocess.Popen(argv, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)


@contextlib.contextmanager
def child(argv: list[str], *, cwd: Path | None = None, talks: bool = True, container: str = "") -> Iterator[Any]:
    """Yield a process that ends with this session at the latest; `talks`: something is written to it."""
    with _children_lock:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        _children[process] = container
    try:
        yield process
    finally:
        with _children_lock:
            del _children[process]


def command(
    argv: list[str], *, timeout: float = 600, cwd: Path | None = None, stdin: str | None = None
) -> tuple[int, str, str]:
    """Run a command on this host, with a text for its standard input. Return exit code, standard output, standard error."""
    with child(argv, cwd=cwd, talks=stdin is not None) as process:
        try:
            out, err = process.communicate(stdin, timeout=timeout)
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return 124, "", f"did not end within {timeout:g} s"


def compose(project: str, file: Path, *argv: str, timeout: float = 600) -> tuple[int, str, str]:
    """Run `docker compose` on a project. Return exit code, standard output, standard error."""
    words = ["docker", "compose", "--progress", "plain", "-p", project, "-f", str(file), *argv]
    return command(words, timeout=timeout, cwd=file.parent)


def compose_or_fail(what: str, project: str, file: Path, *argv: str, timeout: float = 600) -> str:
    """Run `docker compose`; raise OperationFailed(`what`) with the last lines where it fails. Return standard output."""
    code, out, err = compose(project, file, *argv, timeout=timeout)
    if code != 0:
        raise OperationFailed(what, "\n".join((err or out).strip().splitlines()[-15:]) + f"\n(exit code {code})")
    return out
