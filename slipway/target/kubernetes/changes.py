"""Waiting for something to change in a namespace: the API server tells it at once, so that nobody has to ask again and again."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence

from slipway.errors import SlipwayError
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.kinds import Kind

_TELLS_FOR = 240
"""Seconds after which the API server ends a watch, and it is begun anew."""
_AGAIN_AFTER = 1.0
_TOGETHER = 0.03
"""Seconds for which more changes are waited for: they come in bursts."""
_AT_LEAST_EVERY, _WITHOUT = 1.0, 0.25
"""Seconds after which one looks though nothing was told; the same where the API server does not tell (the right `watch` lacks)."""


class Changes:
    """Tells that objects of some kinds have changed; what they are now, whoever waits asks.

    Its threads end with the connection.

    Args:
        cluster: where.
        namespace: whose.
        kinds: of which objects.
    """

    def __init__(self, cluster: Cluster, namespace: str, kinds: Sequence[Kind]) -> None:
        self._cluster, self._event, self._over = cluster, threading.Event(), threading.Event()
        self._listening: dict[str, bool] = {}
        for path in (kind.path(namespace) for kind in kinds):
            self._listening[path] = False
            threading.Thread(target=self._listen, args=(path,), daemon=True).start()

    def __enter__(self) -> Changes:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def wait(self) -> None:
        """Return when something has changed, or it is time to look all the same."""
        if self._event.wait(_AT_LEAST_EVERY if all(self._listening.values()) else _WITHOUT):
            time.sleep(_TOGETHER)
        self._event.clear()

    def _listen(self, path: str) -> None:
        while not self._over.is_set():
            try:
                for _ in self._cluster.stream(path, watch="true", timeoutSeconds=_TELLS_FOR):
                    self._listening[path] = True
                    self._event.set()
                    if self._over.is_set():
                        return
            except (
                SlipwayError,
                OSError,
                http.client.HTTPException,
                ValueError,
            ):  # a connection that is closed meanwhile
                pass
            self._listening[path] = False
            self._over.wait(_AGAIN_AFTER)
