"""How tests are shared out among processes: a file stays together, and so do `kube/` and a folder of `lab/`: they share a lab."""

from __future__ import annotations

import gc
import signal
from pathlib import PurePath

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("slipway", deadline=None)  # machines are noisy
settings.load_profile("slipway")

# Where a shell starts this in the background, it has it ignore SIGINT, and commands that tests interrupt would do so too.
signal.signal(signal.SIGINT, signal.default_int_handler)


LONG = ("data", "workshop", "faults", "test_main_job.py", "test_two_hosts.py", "test_dev.py", "test_lab.py")
"""Folders and files of `lab/`, the longest first: what begins last decides when all have ended."""


def share(nodeid: str) -> tuple[int, str]:
    """Return the place in the order, and the name, of what a test is run together with."""
    file = PurePath(nodeid.partition("::")[0])
    together = file.parent if file.parent.parent.name == "lab" or file.parent.name == "kube" else file
    known = together.parent.name == "lab" and together.name in LONG
    return LONG.index(together.name) if known else len(LONG), str(together)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: share(item.nodeid)[0])


class _ByLab(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's `loadfile`, but for the folders of `lab/`. (Its `loadgroup` renames tests, which pytest 9.2 ignores.)"""

    def _split_scope(self, nodeid: str) -> str:
        return share(nodeid)[1]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Return what gives tests to processes, in the order of `pytest_collection_modifyitems`."""
    config.option.loadscopereorder = False
    return _ByLab(config, log)


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what was made so far, all tests among it: it would find nothing, again and again."""
    gc.collect()
    gc.freeze()
