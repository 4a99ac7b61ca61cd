"""How tests are shared out among processes: a file stays together, and so do files of `lab/` whose tests share a lab."""

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


LONG = (
    ("data/test_backup", "data/test_kinds_of_data", "data/test_repositories"),
    ("workshop",),
    ("faults",),
    ("workshop/test_failures", "workshop/test_suites"),
    ("data",),
    ("test_main_job",),
    ("test_two_hosts",),
    ("test_dev",),
    ("test_lab",),
)
"""Tests of `lab/` that one process runs in one go, by the beginnings of their files' names, of which the longest counts.

The longest go first: what begins last decides when all have ended. The longest folders are two: each starts its lab once more.
"""


def share(nodeid: str) -> tuple[int, str]:
    """Return the place in the order, and the name, of what a test is run together with."""
    file = PurePath(nodeid.partition("::")[0])
    name = "/".join(file.parts[2:])
    fitting = [(len(start), n) for n, one in enumerate(LONG) for start in one if name.startswith(start)]
    if file.parts[1:2] != ("lab",) or not fitting:
        return len(LONG), str(file)
    _, n = max(fitting)
    return n, " ".join(LONG[n])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: share(item.nodeid)[0])


class _ByLab(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's `loadfile`, but for what shares a lab. (Its `loadgroup` renames tests, which pytest 9.2 ignores.)"""

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
