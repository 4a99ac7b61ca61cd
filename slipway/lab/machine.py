"""What this machine is and may do: root rights, Debian packages, how daemons are started."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

from slipway import process, report
from slipway.errors import SlipwayError

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where system programs are that a plain user's PATH often lacks."""


def which(program: str) -> str | None:
    """Return the path of `program`, looking in the system folders as well, or None."""
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(SBIN))


@cache
def as_root() -> tuple[str, ...] | None:
    """Return the words to put before a command that needs root: none for root, `sudo -n`, or None: not possible."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and process.run(["sudo", "-n", "true"], check=False).code == 0:
        return ("sudo", "-n")
    return None


def is_debian(os_release: Path = Path("/etc/os-release")) -> bool:
    """Tell whether packages are Debian's: Debian, Ubuntu, or one that says it is like them."""
    try:
        words = os_release.read_text().splitlines()
    except OSError:
        return False
    values = dict(line.split("=", 1) for line in words if "=" in line)
    family = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "").split()
    return bool({"debian", "ubuntu"} & set(family)) and shutil.which("apt-get") is not None


def has_systemd() -> bool:
    """Tell whether systemd is what starts services here."""
    return Path("/run/systemd/system").is_dir()


def agreed(question: str, yes: bool) -> bool:
    """Ask a yes-or-no question; `yes`, or a CI environment, answers it. Without a terminal the answer is no."""
    if yes or os.environ.get("CI"):
        return True
    if not sys.stdin.isatty():
        return False
    print(f"{question} [Y/n] ", end="", file=sys.stderr, flush=True)
    return input().strip().lower() in ("", "y", "yes")


def install(*packages: str) -> None:
    """Install Debian packages, without what they recommend.

    Raises:
        SlipwayError: this is no Debian or Ubuntu, there are no root rights, or apt-get failed.
    """
    root, names = as_root(), " ".join(packages)
    if root is None or not is_debian():
        raise SlipwayError(f"{names} must be installed", todo=f"as root, type: apt-get install {names}")
    argv = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    with report.step(f"Install {names}"):
        done = process.run([*argv, "-y", "--no-install-recommends", "install", *packages], check=False)
        if done.code != 0:  # most often: the package lists are old, or missing
            process.run([*argv, "update"], check=False)
            process.run([*argv, "-y", "--no-install-recommends", "install", *packages])


def need(program: str, package: str) -> str:
    """Return the path of `program`; install Debian's `package` if it is missing.

    Raises:
        SlipwayError: it is missing and cannot be installed.
    """
    if which(program) is None:
        install(package)
    return which(program) or program
