"""Which ports of a host answer to this machine: a firewall's proof is a connection that does not come about."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

from testinfra.host import Host

PATIENCE = 0.7
"""Seconds to wait for an answer. A host that is let in answers in a round trip."""

_LISTEN = """
import socket
listener = socket.create_server(("", 0))
print(listener.getsockname()[1], flush=True)
listener.settimeout(4)
try:
    listener.accept()
except OSError:
    pass
"""


def reachable(host: Host, address: str, ports: list[int]) -> list[int]:
    """Return those of `ports` that accept a connection from here, and a listener's put up for this, if it does.

    Args:
        host: where the listener is put up for some seconds, on a port that the kernel chooses.
        address: the host, as seen from here.
        ports: ports to try.
    """
    started = host.check_output(
        'said=$(mktemp); (setsid python3 -c %s >"$said" 2>/dev/null </dev/null &); '
        'for _ in 1 2 3 4 5 6 7 8 9; do sleep 0.05; [ -s "$said" ] && break; done; cat "$said"; rm -f "$said"',
        _LISTEN,
    )
    probe = int(started)
    with ThreadPoolExecutor(max_workers=32) as pool:
        answers = list(pool.map(lambda port: _connects(address, port), [probe, *ports]))
    return [port for port, answered in zip([probe, *ports], answers, strict=True) if answered]


def _connects(address: str, port: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    try:
        with socket.create_connection((address, port), timeout=max(0.1, deadline - time.monotonic())):
            return True
    except OSError:
        return False
