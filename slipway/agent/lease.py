"""The deploy lock of a stack: a flock on the environment's first host, held by the agent as long as its deployer lives."""

from __future__ import annotations

import os
import time
from typing import Any

from .failure import OperationFailed
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

    def take(self, holder: dict[str, Any], above: int = 0, *, despite_freeze: bool = False) -> int:
        """Take the lease for `holder`.

        Args:
            holder: `by`, `command`, `machine` of who wants it.
            above: the highest fencing number that other hosts of the environment have seen.
            despite_freeze: a freeze is about deploys, and this is none.

        Returns:
            The run's fencing number, higher than any before.

        Raises:
            OperationFailed: deploys are frozen, or a living holder has it: told within 2 s. A holder that stopped giving signs
                of life is waited for.
        """
        self.home.path.mkdir(parents=True, exist_ok=True)
        freeze = self.frozen()
        if freeze and not despite_freeze:
            raise OperationFailed("deploys are frozen", lease=freeze)
        self._file = self._path.open("a")
        begun = time.monotonic()
        while not flock(self._file.fileno(), 1.2):
            found = read_json(self.home.path / "holder.json") or {}
            silent = time.time() - float(found.get("beat", 0))
            if 0 <= silent < STALE_AFTER or time.monotonic() - begun > GIVE_UP_AFTER:
                self._file.close()
                raise OperationFailed("another run has the lease", lease=found)
        fence = max(self.home.fence(), above) + 1
        self.home.raise_fence(fence)
        self._holder = {**holder, "since": now(), "pid": os.getpid(), "fence": fence}
        self.beat()
        return fence

    def beat(self) -> None:
        """Give a sign of life."""
        if self._holder:
            write_json(self.home.path / "holder.json", {**self._holder, "beat": time.time()})

    def frozen(self) -> dict[str, Any] | None:
        """Return who froze deploys, since when and why; None where nobody did."""
        value = read_json(self.home.path / "freeze.json")
        return value if isinstance(value, dict) else None

    def freeze(self, holder: dict[str, Any] | None) -> dict[str, Any]:
        """Record that nobody may deploy, or (None) end that. Return what was recorded before.

        Raises:
            OperationFailed: somebody else froze them already.
        """
        path = self.home.path / "freeze.json"
        before = self.frozen()
        if holder is None:
            path.unlink(missing_ok=True)
        elif before and before.get("by") != holder.get("by"):
            raise OperationFailed("deploys are frozen already", lease=before)
        else:
            write_json(path, {**holder, "since": now()})
        return {"before": before}
