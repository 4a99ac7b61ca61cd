"""A way to an API server that a test can cut and mend: a TCP relay, and the kubeconfig that goes through it."""

from __future__ import annotations

import contextlib
import copy
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit


class Relay:
    """Relays connections to the cluster that a kubeconfig (one context, `--minify`) names.

    Args:
        kubeconfig: its values.
    """

    def __init__(self, kubeconfig: dict[str, Any]) -> None:
        cluster = kubeconfig["clusters"][0]["cluster"]
        parts = urlsplit(cluster["server"])
        self._to = (parts.hostname or "", parts.port or 443)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.kubeconfig = copy.deepcopy(kubeconfig)
        own = self.kubeconfig["clusters"][0]["cluster"]
        own["server"] = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        own.setdefault("tls-server-name", parts.hostname)
        self._open: set[socket.socket] = set()
        self._cut, self._over, self._lock = False, False, threading.Lock()
        self.bytes = 0

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End all connections; let no new one in."""
        self._cut = True
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def mend(self, after: float = 0) -> None:
        """Let connections in again, after some seconds."""
        time.sleep(after)
        self._cut = False

    def wait_for(self, kilobytes: int = 0, requests: int = 0, timeout: float = 60) -> None:
        """Wait until so much came from the cluster; `requests` are taken for two kilobytes each."""
        wanted, until = 1000 * (kilobytes + 2 * requests), time.monotonic() + timeout
        while self.bytes < wanted:
            assert time.monotonic() < until, f"{self.bytes} bytes came"
            time.sleep(0.02)

    def _accept(self) -> None:
        while not self._over:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if self._cut:
                here.close()
                continue
            try:
                there = socket.create_connection(self._to, timeout=5)
            except OSError:
                here.close()
                continue
            there.settimeout(None)
            with self._lock:
                self._open |= {here, there}
            for a, b, counts in ((here, there, False), (there, here, True)):
                threading.Thread(target=self._copy, args=(a, b, counts), daemon=True).start()

    def _copy(self, a: socket.socket, b: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                self.bytes += len(data) if counts else 0
                b.sendall(data)
        for one in (a, b):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
