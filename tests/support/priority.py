"""Who gets the processor first where one machine stands for several: clients do, the deployer does last.

`python -m tests.support.priority PROGRAM ARGV...` runs a program that gets what nobody else wants.

A nice value counts among the processes of a session only, where the kernel takes a session's processes together: the
session has one of its own, which is set as well. Source: sched(7), "The autogroup feature".
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

FIRST, LAST = -15, 19
"""Nice values."""


def set_for(process: int, nice: int) -> None:
    """Give a process, which leads a session, and all that it starts there a nice value, where this user may."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, process, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(nice))


if __name__ == "__main__":
    os.setsid()
    set_for(os.getpid(), LAST)
    os.execvp(sys.argv[1], sys.argv[1:])
