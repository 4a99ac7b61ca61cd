"""Packages that only checks need: installed at the first check, so that a new machine's first deploy does not wait for them."""

from __future__ import annotations

import fcntl
import hashlib
import sys
from pathlib import Path

from slipway import report
from slipway.errors import SlipwayError
from slipway.process import run
from slipway.settings.load import root

LOCK = "requirements-checks.lock"


def ensure() -> None:
    """See that .venv holds what requirements-checks.lock names, hashes checked.

    An environment that is not this checkout's own is left as it is: what it lacks says so itself.

    Raises:
        SlipwayError: they can't be installed.
    """
    venv = root() / ".venv"
    if venv.is_symlink() or Path(sys.prefix).resolve() != venv.resolve():
        return
    wanted, stamp = hashlib.sha256((root() / LOCK).read_bytes()).hexdigest(), venv / "checks-from"
    with (venv / "checks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two checks may begin at once
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        with report.step(f"Install {LOCK} (once)"):
            done = run([sys.executable, "-m", "pip", *_PIP, "--requirement", LOCK], cwd=root(), check=False)
            if done.code != 0:
                todo = "see that this machine reaches its package index, and try again"
                raise SlipwayError(
                    "the packages for checks could not be installed", where=LOCK, seen=done.tail(), todo=todo
                )
            stamp.write_text(wanted)  # last: what a killed run left is installed again


_PIP = ("--disable-pip-version-check", "install", "--quiet", "--no-deps", "--require-hashes")
