"""Who acts, from where, with which command: for leases and ledgers."""

from __future__ import annotations

import getpass
import os
import socket
import sys


def by() -> str:
    """Return who acts, from where, for the ledger."""
    actor = os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    return f"{actor}@{socket.gethostname()}"


def command() -> str:
    """Return the command that this process is, as a person types it."""
    return " ".join(["inv", *sys.argv[1:]])
