"""HAProxy as a process: its container, and its sockets. There are two on a host, the router and the doors in front of it."""

from __future__ import annotations

import socket
import time

from . import engine
from .failure import OperationFailed
from .state import HOME

PROXY = HOME / "proxy"
CONF = PROXY / "conf"
RUN = PROXY / "run"


def ask(command: str, name: str = "admin.sock", timeout: float = 5) -> str:
    """Send one command to one of HAProxy's sockets and return its answer. Raise OperationFailed where it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(timeout)
            s.connect(str(RUN / name))
            s.sendall(command.encode() + b"\n")
            s.shutdown(socket.SHUT_WR)  # the master's socket waits for further commands otherwise
            parts = []
            while part := s.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()
    except OSError as error:
        raise OperationFailed("the router does not answer", f"{RUN / name}: {error}") from error


def create(name: str, image: str, config: str, master: str, *options: str) -> None:
    """Make a container of HAProxy that has the router's folders, and no rights. Raise OperationFailed where it can't be made."""
    argv = ["docker", "create", "--name", name, "--restart", "unless-stopped", "--read-only", "--cap-drop", "ALL"]
    argv += ["--security-opt", "no-new-privileges", "--label", "slipway.role=router", "--pull", "never", *options]
    argv += ["-v", f"{CONF}:/usr/local/etc/haproxy:ro", "-v", f"{RUN}:/run/haproxy", image]
    argv += ["haproxy", "-S", f"/run/haproxy/{master},mode,666", "-f", f"/usr/local/etc/haproxy/{config}"]
    code, _, err = engine.command(argv)
    if code != 0:
        raise OperationFailed(f"the container {name} could not be made", err)


def await_answer(name: str = "admin.sock") -> None:
    """Wait until an HAProxy that was started answers at its socket. Raise OperationFailed where it does not within 5 s."""
    for attempt in range(100):
        try:
            ask("show info", name)
            return
        except OperationFailed:
            if attempt == 99:
                raise
            time.sleep(0.05)


def answers() -> bool:
    """Tell whether the router runs and answers."""
    try:
        ask("show info")
        return True
    except OperationFailed:
        return False


def reload(refused: str, master: str = "master.sock") -> None:
    """Have an HAProxy load its file anew: a new worker takes over, the old one ends what it has begun.

    Raises:
        OperationFailed: it does not take the file (`refused` is what to say then; the old worker goes on), or does not answer.
    """
    answer = ask("reload", master, timeout=20)
    if "Success=1" not in answer:
        raise OperationFailed(refused, answer)
