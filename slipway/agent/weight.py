"""The share of the processor that containers get: little while they start, so that what serves is not held up; then the usual one.

Source: Engine API 1.41, `POST /containers/{id}/update`; systemd and runc on cgroup v2: `cpu.weight`, 100 unless told otherwise.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from . import engine
from .failure import OperationFailed

STARTING = 101
"""CPU shares of a container that starts: a tenth of the usual ones (on cgroup v2 a sixth to a twenty-fifth, as runc has it). No
number that anybody would set: what has it was made to start with it."""
_USUAL = 1024
_USUAL_V2 = 2598
"""What older versions of runc make the weight 100 of; they make 39 of the usual shares."""
_CGROUP = Path("/sys/fs/cgroup")


def lower(container: dict[str, Any]) -> None:
    """Give a container that does not run little, until `usual`. One whose stack says how much it gets is left alone."""
    if not container["HostConfig"]["CpuShares"] or container["HostConfig"]["CpuShares"] in (_USUAL, _USUAL_V2):
        with contextlib.suppress(OperationFailed):  # an engine that can't do it: then it starts as ever
            _set(container, STARTING)


def usual(containers: list[dict[str, Any]]) -> None:
    """Give containers (inspections) that were made to start with little what others have.

    One that ended since it was inspected is passed over: that is for who waits for it to tell.

    Raises:
        OperationFailed: one that runs on can't be given its share.
    """
    for container in containers:
        if container["HostConfig"]["CpuShares"] == STARTING:
            try:
                _set(container, _USUAL)
                if _weight(container) not in (None, 100):
                    _set(container, _USUAL_V2)
            except OperationFailed:
                if _runs_on(container):
                    raise


def _runs_on(container: dict[str, Any]) -> bool:
    now = engine.api("GET", f"/containers/{container['Id']}/json")
    return bool(now) and now["State"]["Running"] and now["State"]["StartedAt"] == container["State"]["StartedAt"]


def _set(container: dict[str, Any], shares: int) -> None:
    engine.api("POST", f"/containers/{container['Id']}/update", {"CpuShares": shares})


def _weight(container: dict[str, Any]) -> int | None:
    """Return the weight that a running container has on cgroup v2; None on v1, or where it does not run."""
    try:
        return int((_CGROUP / _group(container["State"]["Pid"]).lstrip("/") / "cpu.weight").read_text())
    except (OSError, ValueError):
        return None


def _group(pid: int) -> str:
    """Return the cgroup of a process on cgroup v2 (cgroups(7): the line that begins with `0::`)."""
    return Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("0::")[2]
