"""The deploy lock of a stack: a flock on the environment's first host, held by the agent as long as its deployer lives."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .state import StackHome, flock, now, read_json, write_json

# A holder whose last sign of life is older than this is taken for dead: the next deployer waits for its lock to fall.
STALE_AFTER = 8.0
GIVE_UP_AFTER = 35.0


class Lease:
    """One stack's lease. Keep the object: the lock falls when its file is closed, or its process ends, however it ends."""

    def __init__(self, stack: str) -> None:
        self.home = StackHome(stack)
        self._file: Any = None
        self._holder: dict[str, Any] = {}

    @property
    def _path(self) -> Any:
        return self.home.path / "lease"

    def holder(self) -> dict[str, Any] | None:
        """Return who holds the lease now, or None."""
        if not self._path.exists():
            return None
        with self._path.open("a") as file:
            if flock(file.fileno(), 0):
                return None
        return read_json(self.home.path / "holder.json") or {"who": "unknown"}

    def take(self, holder: dict[str, Any]) -> dict[str, Any]:
        """Try to take the lease for `holder`.

        Returns:
            `{"fence": n}` where it was got: the run's number, higher than any before. `{"held_by": {...}}` for a living holder,
            within 2 s. A holder that stopped giving signs of life is waited for.
        """
        self.home.path.mkdir(parents=True, exist_ok=True)
        freeze = read_json(self.home.path / "freeze.json")
        if freeze:
            return {"frozen_by": freeze}
        self._file = self._path.open("a")
        begun = time.monotonic()
        while not flock(self._file.fileno(), 1.2):
            found = read_json(self.home.path / "holder.json") or {}
            silent = time.time() - float(found.get("beat", 0))
            if silent < STALE_AFTER or time.monotonic() - begun > GIVE_UP_AFTER:
                self._file.close()
                return {"held_by": found}
        fence = self.home.fence() + 1
        self.home.raise_fence(fence)
        self._holder = {**holder, "since": now(), "pid": os.getpid(), "fence": fence}
        self.beat()
        return {"fence": fence}

    def beat(self) -> None:
        """Give a sign of life."""
        if self._holder:
            write_json(self.home.path / "holder.json", {**self._holder, "beat": time.time()})

    def freeze(self, holder: dict[str, Any] | None) -> dict[str, Any]:
        """Record that nobody may deploy, or (None) end that. Return what was recorded before."""
        path = self.home.path / "freeze.json"
        before = read_json(path)
        if holder is None:
            path.unlink(missing_ok=True)
        else:
            self.home.path.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**holder, "since": now()}))
        return {"before": before}
