"""How an operation fails on a host."""

from __future__ import annotations

from typing import Any


class OperationFailed(Exception):
    """An operation could not be done.

    Args:
        what: what failed, as a clause.
        seen: what was observed (status, body, exit code, last log lines).
        bad_input: the request itself can't be served (exit code 2), rather than the host failing (1).
        service: which service failed.
        lease: who has the lease, or froze deploys, where that is why (3).
    """

    def __init__(
        self, what: str, seen: str = "", *, bad_input: bool = False, service: str = "", lease: Any = None
    ) -> None:
        super().__init__(what)
        self.what, self.seen, self.bad_input, self.service, self.lease = what, seen, bad_input, service, lease


def words(error: Exception) -> str:
    """Return an error in a line, for a log that nobody sits before."""
    if isinstance(error, OperationFailed):
        return f"{error.what}: {error.seen} {error.lease or ''}".strip()
    return f"unforeseen: {type(error).__name__}: {error}"
