"""Labs that belong to a process, a test run's, and go when it is gone, however it ended."""

from __future__ import annotations

import sys
from pathlib import Path

from slipway import process
from slipway.lab import places


def of_process(pid: int) -> str:
    """Return what names the process `pid` for good: its id and its start time, as ids are used again."""
    return f"{pid}:{_started(pid)}"


def lives(owner: str) -> bool:
    """Tell whether an owner ("pid:start time"; "" is nobody, who lives for ever) is still there."""
    pid, _, started = owner.partition(":")
    return not owner or (bool(started) and _started(int(pid)) == started)


def _started(pid: int) -> str:
    """Return the start time of a process, in clock ticks since the machine's start (proc_pid_stat(5), field 22)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def keep(lab: str) -> None:
    """Start the keeper of a lab, a small process that outlives this one, unless it has one."""
    with places.lock(keeper_lock(lab), wait=False) as free:
        if not free:
            return
    argv = ["env", f"PYTHONPATH={places.CHECKOUT}", sys.executable, "-m", "slipway.lab.keeper", lab]
    process.detach(argv, places.home() / "keeper.log")


def keeper_lock(lab: str) -> str:
    """Return the name of the lock that a lab's keeper holds."""
    return f"keeper-{lab}"
