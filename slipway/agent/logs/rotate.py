"""Rotating now what services write into files. The host's own timer does it as root; whoever deploys may only wish for it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from ..failure import OperationFailed
from . import keep

_UNIT = "slipway-rotate@now.service"
_TOLD = Path("/run/slipway-rotate/last.log")
_WITHIN = 300.0


def now() -> list[str]:
    """Have all files rotated that are not empty, and wait for the end. Return the files.

    Raises:
        OperationFailed: the host has no such unit, logrotate failed, or does not come to an end.
    """
    before = _state()
    if before.get("LoadState") != "loaded":
        raise OperationFailed("this host can't rotate files", f"{_UNIT} is {before.get('LoadState')}")
    with (keep.FOLDER / "rotate").open("w") as file:
        file.write(f"{time.time()}\n")
    until = time.monotonic() + _WITHIN
    while time.monotonic() < until:
        time.sleep(0.1)
        state = _state()
        if state["InvocationID"] != before["InvocationID"] and state["ActiveState"] in ("inactive", "failed"):
            break
    else:
        raise OperationFailed("rotating files did not end", f"{_UNIT} is {state['ActiveState']} after {_WITHIN:.0f} s")
    told = _TOLD.read_text(errors="replace") if _TOLD.exists() else ""
    if state["Result"] != "success":
        raise OperationFailed(
            "files could not be rotated", "\n".join(_complaints(told)) or f"{_UNIT}: {state['Result']}"
        )
    return sorted(
        {line.rpartition(" ")[2].removeprefix("/mnt/") for line in told.splitlines() if "considering log" in line}
    )


def _state() -> dict[str, str]:
    names = "InvocationID,ActiveState,Result,LoadState"
    argv = ["systemctl", "show", _UNIT, "--property", names]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


def _complaints(told: str) -> list[str]:
    return [line for line in told.splitlines() if "error" in line.lower()][-10:]
