"""kubectl for tests: the machine's own, or, in a pipeline on Debian, its package unpacked into a folder of the tests'."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slipway.lab import base

FOLDER = Path("/var/tmp/slipway-kubectl")
HOW = "kubectl is missing: apt-get install kubectl (Debian 13; kubernetes-client before), or https://kubernetes.io/docs/tasks/tools/"


def ensure() -> str:
    """Return kubectl's path, and see that it is found by that name. Skip the test where there is none to be had."""
    found = shutil.which("kubectl")
    if not found and os.environ.get("CI") and shutil.which("dpkg-deb"):
        found = _unpacked()
        os.environ["PATH"] = f"{Path(found).parent}:{os.environ['PATH']}"
    if not found:
        pytest.skip(HOW)
    return found


def _unpacked() -> str:
    """Return kubectl 1.32 of Debian trixie's package, downloaded by apt into a folder of its own."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    if FOLDER.stat().st_uid != os.getuid():
        pytest.skip(f"{FOLDER} is somebody else's")
    program = FOLDER / "usr/bin/kubectl"
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            mirror = base.mirrors().archive
            if not mirror:
                pytest.skip(f"{HOW} (this machine's apt sources name no archive of Debian's)")
            sources = FOLDER / "sources.list"
            signed = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
            sources.write_text(f"deb [{signed}] {mirror} trixie main\n")
            for folder in ("lists/partial", "cache/archives/partial"):
                (FOLDER / folder).mkdir(parents=True, exist_ok=True)
            own = {
                "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "-", "Dir::State::status": "/dev/null",
                "Dir::State::lists": FOLDER / "lists", "Dir::Cache": FOLDER / "cache",
                "Debug::NoLocking": "true", "APT::Sandbox::User": "root",
            }  # fmt: skip
            options = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
            _run(["apt-get", *options, "update"])
            _run(["apt-get", *options, "download", "kubectl"])
            (package,) = FOLDER.glob("kubectl_*.deb")
            _run(["dpkg-deb", "-x", package, FOLDER])
            shutil.rmtree(FOLDER / "lists")
    return str(program)


def _run(argv: list[str | Path]) -> None:
    done = subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"{HOW} ({argv[0]}: {done.stderr.strip()[-300:]})")
