"""Who gets the processor first where one machine stands for several: clients do at once, the deployer has what nobody else wants.

`python -m tests.support.priority PROGRAM ARGV...` runs a program of the last kind.

A nice value is not enough: it says how much one gets, not how long one waits for who has the processor, which is up to a
tick (4 ms). Clients are real-time processes; the deployer is in a control group that is idle, which anybody interrupts.
Sources: sched(7), "The autogroup feature" and "SCHED_FIFO"; kernel documentation, cgroup-v2, `cpu.idle` (v1 has it, too).
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

_GROUPS = tuple(Path(p) / "slipway-bench" for p in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"))
_NICE_FIRST, _NICE_LAST = -15, 19


def first(process: int) -> None:
    """Have a process, which leads a session, and all threads that it starts wait for no processor, where this user may."""
    _nice(process, _NICE_FIRST)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(process, os.SCHED_RR, os.sched_param(1))


def last(process: int) -> None:
    """Have a process, which leads a session, and all that it starts there get what nobody else wants, where this user may."""
    _nice(process, _NICE_LAST)
    for group in _GROUPS:
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
            (group / "cpu.idle").write_text("1")
            (group / "cgroup.procs").write_text(str(process))
            return


def clear() -> None:
    """Remove what `last` made, once nothing runs in it."""
    for group in _GROUPS:
        with contextlib.suppress(OSError):
            group.rmdir()


def _nice(process: int, nice: int) -> None:
    """Where the kernel takes a session's processes together, a nice value counts among these only: the session has its own."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, process, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(nice))


if __name__ == "__main__":
    os.setsid()
    last(os.getpid())
    os.execvp(sys.argv[1], sys.argv[1:])
