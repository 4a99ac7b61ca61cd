"""The container engine: find one, or install Debian's; and the one way to call the docker command."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from slipway import process, report
from slipway.errors import SlipwayError
from slipway.lab import machine, places
from slipway.process import Completed

BUILDKIT = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
"""Environment of the docker command. (An attestation would make each image's digest another one at each build.)"""

SOCKET = Path("/var/run/docker.sock")
"""Where an engine listens, and the docker command looks for it, unless somebody said otherwise."""

DAEMON_STARTS_WITHIN = 30.0
"""Seconds that a freshly started engine gets to answer."""


def docker(*argv: str | Path, **options: Any) -> Completed:
    """Call the docker command (options: those of `slipway.process.run`) with BuildKit switched on.

    Raises:
        SlipwayError: no docker command, or it failed.
    """
    variables = {**BUILDKIT, **(options.pop("env", None) or {})}
    return process.run([*_command(variables), *argv], env=variables, **options)


def by_sudo() -> bool:
    """Tell whether docker is called through sudo: then its configuration is root's, not this user's."""
    return _sudo_flag().exists()


def ensure(yes: bool = False) -> None:
    """Make sure that a container engine answers: start the one installed, or install Debian's (asked first).

    Args:
        yes: answer the question whether to install (a CI environment answers it as well).

    Raises:
        SlipwayError: no engine and none may be installed here, no rights on its socket, or it does not answer.
    """
    fault = _fault()
    if fault is None:
        return
    if "permission denied" in fault.lower():
        _use_sudo(fault)
        return
    if machine.which("dockerd") is None or not _clients():
        _install(fault, yes)
    _start()
    fault = _await_answer()
    if fault and "permission denied" in fault.lower():
        _use_sudo(fault)
    elif fault:
        raise SlipwayError("the container engine does not answer", seen=fault, todo=f"look at {_log()}")


def _fault() -> str | None:
    """Return what is wrong with the engine, or None if it answers."""
    if not _clients():
        return "no docker command found"
    if _pinged():
        return None
    done = docker("version", "--format", "{{.Server.Version}}", check=False, timeout=30)
    return None if done.code == 0 and done.out.strip() else done.tail(3) or "no answer"


def _pinged() -> bool:
    """Tell whether the engine that the docker command speaks with, if nobody said otherwise, answers: that spares a process.

    False tells nothing: the command itself has the words.
    """
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    named = any(os.environ.get(name) for name in ("DOCKER_HOST", "DOCKER_CONTEXT")) or (folder / "contexts").exists()
    if named or by_sudo():
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
            engine.settimeout(2)
            engine.connect(str(SOCKET))
            engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in engine.recv(100).partition(b"\r\n")[0]
    except OSError:
        return False


def _use_sudo(fault: str) -> None:
    """Call docker through sudo from now on, where that is allowed."""
    if machine.as_root():
        _sudo_flag().touch(mode=0o600)
        if _fault() is None:
            return
        _sudo_flag().unlink()
    raise SlipwayError(
        "you may not use the container engine of this machine",
        seen=fault.splitlines()[-1],
        todo=f"as root, type: usermod -aG docker {getpass.getuser()}; then log in again",
    )


def _sudo_flag() -> Path:
    return places.home() / "docker-by-sudo"


def _install(fault: str, yes: bool) -> None:
    if not machine.is_debian() or machine.as_root() is None:
        raise SlipwayError(
            "there is no container engine on this machine, and it cannot be installed from here "
            "(that needs Debian or Ubuntu, and root or passwordless sudo)",
            seen=fault,
            todo="install Docker Engine (Debian, Ubuntu, as root: apt-get install docker.io iptables) and try again",
        )
    if not machine.agreed("No container engine answers. Install Debian's (docker.io, iptables)?", yes):
        raise SlipwayError(
            "there is no container engine on this machine", seen=fault, todo="say yes, or give --yes, to install one"
        )
    optional = ("docker-cli", "docker-buildx")  # packages of their own since Debian 13
    found = [name for name in optional if process.run(["apt-cache", "show", name], check=False).code == 0]
    machine.install("docker.io", "iptables", *found)
    _client.cache_clear()


def _start() -> None:
    """Start the installed engine, unless one is starting already; two would break each other's networks."""
    root = machine.as_root()
    if root is None or os.environ.get("DOCKER_HOST"):
        raise SlipwayError("the container engine does not answer", todo="start it (as root: systemctl start docker)")
    if _engine_runs():
        return
    with report.step("Start the container engine"):
        if machine.has_systemd():
            process.run([*root, "systemctl", "start", "docker"])
        else:
            process.detach([*root, machine.which("dockerd") or "dockerd"], _log())


def _engine_runs() -> bool:
    """Tell whether a dockerd runs in this network namespace (those of lab hosts have their own)."""
    ours = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116 - a namespace link: its target is no path
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().strip() == "dockerd" and os.stat(comm.parent / "ns/net").st_ino == ours:  # noqa: PTH116
                return True
        except OSError:  # it ended meanwhile, or is another user's: then its namespace is not for us to see
            continue
    return False


def _await_answer() -> str | None:
    until = time.monotonic() + DAEMON_STARTS_WITHIN
    while (fault := _fault()) and "permission denied" not in fault.lower() and time.monotonic() < until:
        time.sleep(0.2)
    return fault


def _log() -> Path:
    return places.home() / "dockerd.log"


def _command(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the words that call docker with these environment variables, which sudo would not hand on."""
    if not by_sudo():
        return (_client(),)
    return (*(machine.as_root() or ()), "env", *(f"{key}={value}" for key, value in variables.items()), _client())


@cache
def _client() -> str:
    """Return the docker command. A client that can build is preferred to others that come first in PATH."""
    clients = _clients()
    if not clients:
        raise SlipwayError("there is no docker command on this machine", todo="inv lab.up --yes installs Debian's")
    return clients[0] if len(clients) == 1 else _remembered(clients)


def _clients() -> list[str]:
    """Return the docker commands of this machine, in the order of PATH, Debian's own last."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin"]
    found = (shutil.which("docker", path=folder) for folder in folders if folder)
    return list(dict.fromkeys(str(Path(path).resolve()) for path in found if path))


def _remembered(clients: list[str]) -> str:
    """Return the first client that can build; the answer is kept until one of them changes."""
    note, key = places.home() / "docker-client.json", [[path, Path(path).stat().st_mtime] for path in clients]
    known = places.read_json(note)
    if isinstance(known, dict) and known.get("clients") == key:
        return str(known["chosen"])
    import json

    chosen = next((path for path in clients if _can_build(path)), clients[0])
    places.write(note, json.dumps({"clients": key, "chosen": chosen}))
    return chosen


def _can_build(client: str) -> bool:
    """Tell whether a client has BuildKit: built in before version 23, as the plugin buildx since."""
    version = re.search(r"version (\d+)", process.run([client, "--version"], check=False).out)
    if version and int(version[1]) < 23:
        return True
    return process.run([client, "buildx", "version"], check=False).code == 0
