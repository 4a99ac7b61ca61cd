"""The keeper of one lab: waits until the process that the lab belongs to is gone, then removes the lab.

Run as `python -m slipway.lab.keeper LAB`; started by `owner.keep`. It ends when the lab is gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time

from slipway import report
from slipway.errors import SlipwayError
from slipway.lab import containers, lab, owner, places, state

GLANCE = 2.0
"""Seconds between looks at whether the lab is still there; the owner's end is noticed at once."""


def main(name: str) -> None:
    """Wait for the end of lab `name`'s owner, then remove the lab. One keeper a lab: a second one ends at once."""
    report.use(sys.stderr)
    with places.lock(owner.keeper_lock(name), wait=False, remove=True) as alone:
        while alone and (have := state.load(name)) and have.owner:
            if not owner.lives(have.owner):
                _remove(name)
                return
            _wait(int(have.owner.partition(":")[0]))


def _wait(pid: int) -> None:
    """Wait until a process ends, at most `GLANCE` seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([handle], [], [], GLANCE)
    finally:
        os.close(handle)


def _remove(name: str) -> None:
    """Remove the lab until nothing comes back: a command that the owner had started may still be making parts of it."""
    clean = 0
    for _ in range(20):
        with contextlib.suppress(SlipwayError):
            lab.down(name, data=True)
            clean = 0 if containers.remove_lab(name) else clean + 1
        if clean == 2:
            return
        time.sleep(1.5)


if __name__ == "__main__":
    main(sys.argv[1])
