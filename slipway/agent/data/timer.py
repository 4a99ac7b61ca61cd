"""The own process of a pod of a stack's data: it waits for a controller, or does a CronJob's work."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from .. import engine, failure
from ..failure import OperationFailed
from ..state import StackHome
from . import backup, notes, pod, pod_drill


def run(words: Sequence[str]) -> int:
    """Be the pod's process. Return the exit code: 2 where that can't be, 3 where another one is at work, 1 where it failed.

    Args:
        words: `hold`; or `timer` and `backup`, `drill [WHO]` or `ask`.
    """
    signal.signal(signal.SIGTERM, _leave)  # nobody else does for the first process of a container
    if words[0] == "hold":
        pod.hold()
        return 0
    home = pod.prepare()
    try:
        if words[1] == "ask":
            return pod_drill.asked(home)
        pod.ring()
        return _backup(home) if words[1] == "backup" else pod_drill.restored(home, [*words, "timer"][2])
    except OperationFailed as error:
        print(f"{home.stack}: {failure.words(error)}", file=sys.stderr, flush=True)
        return 3 if error.lease else 2 if error.bad_input else 1
    except Exception as error:
        print(f"{home.stack}: {failure.words(error)}", file=sys.stderr, flush=True)
        return 1


def _leave(*_: object) -> None:
    engine.kill_children()
    sys.exit(143)


def _backup(home: StackHome) -> int:
    notes.pull(home)
    return backup.run_all()
