"""The one way to fail: an error is a paragraph and an exit code.

Every foreseeable failure is a `SlipwayError`. It says what failed, where, what was seen, what still serves and what to
type next; the wrapper around every task (`slipway.tasks.task`) prints it and exits with its code.
"""

from __future__ import annotations


class SlipwayError(Exception):
    """A foreseeable failure. Exit code 1: failed, and users noticed nothing.

    Args:
        what: what failed, as a clause ("the api image did not build").
        where: host, service, or file:line, if there is one place.
        seen: what was observed: a status, a body, an exit code, the last lines of a log.
        serves: what still serves users now.
        todo: what to type next.
    """

    exit_code = 1
    places: tuple[tuple[str, int, str], ...] = ()
    """Each line that is wrong, where there are such: file, line, what is wrong there."""

    def __init__(self, what: str, *, where: str = "", seen: str = "", serves: str = "", todo: str = "") -> None:
        self.what, self.where, self.seen, self.serves, self.todo = what, where, seen, serves, todo
        super().__init__(self.paragraph())

    def paragraph(self) -> str:
        """Return the whole message: one paragraph, which lines that were seen, if they are many, part as a block."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        seen = self.seen.strip()
        block = [f"    {line}" for line in seen.splitlines()] if "\n" in seen else []
        parts = [head.rstrip(".") + "."]
        if seen and not block:
            parts.append(f"Seen: {seen.rstrip('.')}.")
        if self.serves:
            parts.append(f"Still serving: {self.serves.rstrip('.')}.")
        todo = [f"Next: {self.todo.rstrip('.')}."] if self.todo else []
        return "\n".join([" ".join(parts), *block, *todo]) if block else " ".join([*parts, *todo])


class BadInput(SlipwayError):
    """Settings, a stack, a host key or a version are wrong; nothing was touched. Exit code 2."""

    exit_code = 2


class LeaseHeld(SlipwayError):
    """A living holder has the lease, or someone froze deploys. Exit code 3."""

    exit_code = 3


class RolledBack(SlipwayError):
    """Failed after the switch; the earlier release serves again. Exit code 4."""

    exit_code = 4


class NeedsPerson(SlipwayError):
    """Failed in a state that a person has to look at. Exit code 5."""

    exit_code = 5
