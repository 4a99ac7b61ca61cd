"""How tests are shared out among processes: a file stays together, and so does a folder of `lab/`, whose tests share a lab."""

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


class _ByLab(LoadScopeScheduling):  # type: ignore[misc]
    """xdist's `loadfile`, but for the folders of `lab/`. (Its `loadgroup` renames tests, which pytest 9.2 ignores.)"""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePath(nodeid.partition("::")[0])
        return str(file.parent if file.parent.parent.name == "lab" else file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Return what gives tests to processes."""
    return _ByLab(config, log)


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what was made so far, all tests among it: it would find nothing, again and again."""
    gc.collect()
    gc.freeze()
