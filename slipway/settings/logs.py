"""What an environment says of logs, and which files of a service are rotated, as typed values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from slipway.settings import patterns
from slipway.settings.base import Model, Seconds


class Logs(Model):
    """How long logs are kept. More: [logs.md](logs.md)."""

    size: str = Field(
        default="20m",
        pattern=patterns.SIZE,
        description="size at which the log of a container is rotated; with `files`, of containers that are made from then on",
        examples=["50m"],
    )
    files: int = Field(
        default=5,
        ge=2,
        le=100,
        description="files of a container's log, the one that is written to included",
        examples=[10],
    )
    keep: Seconds = Field(
        default=14 * 86400.0, description="how long logs of removed containers are kept", examples=["30d"]
    )
    keep_size: str = Field(
        default="1g", pattern=patterns.SIZE, description="the most that those take on a host", examples=["5g"]
    )
    free: str = Field(
        default="1g",
        pattern=patterns.SIZE,
        description="free disk of a host below which they go, oldest first, then images of no container and the build cache",
        examples=["10g"],
    )


class LogFile(Model):
    """A file that a service writes into one of its volumes, and the host rotates."""

    path: str = Field(
        pattern=patterns.LOG_FILE,
        description="inside the service, in a named volume of its own; the file's name may hold `*`",
        examples=["/var/log/audit/audit.log"],
    )
    reopen: Literal["HUP", "USR1", "USR2", "WINCH", "self", "copytruncate"] = Field(
        description="how the service comes to write to the new file: a signal that its first process gets; `self`: it notices,"
        " or opens the file for each line; `copytruncate`: neither, so the file is copied and emptied, and what is written"
        " between the two is lost",
        examples=["USR1"],
    )
    size: str = Field(
        default="20m", pattern=patterns.SIZE, description="size at which it is rotated", examples=["100m"]
    )
    keep: int = Field(default=5, ge=1, le=100, description="rotated files that are kept", examples=[10])
    max_age: Seconds = Field(default=30 * 86400.0, description="how long those are kept at most", examples=["7d"])


def volume_of(path: str, mounts: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the volume that a path lies in and the path there. None: in none.

    Args:
        path: inside the service.
        mounts: name and path of each of its volumes.
    """
    inside = [(name, target) for name, target in mounts if path.startswith(f"{target}/")]
    if not inside:
        return None
    name, target = max(inside, key=lambda mount: len(mount[1]))
    return name, path.removeprefix(f"{target}/")


def check(
    refuse: Any, at: tuple[Any, ...], role: str, files: Iterable[LogFile], raw: dict[str, Any], mounts: Any
) -> None:
    """Refuse files of the service at `at` that could not be rotated."""
    for index, file in enumerate(files):
        path = (*at, "x-slipway", "logs", index)
        if role == "job":
            refuse(path, "a job runs once: what it has to say goes to standard output")
        elif not volume_of(file.path, mounts):
            refuse((*path, "path"), "lies in no named volume of the service: the host could not get at it")
        user, _, group = str(raw.get("user", "")).partition(":")
        if not (user + group).isdigit() or not int(user):
            refuse(
                path, 'needs a numeric `user` ("10001:10001") that is not root: it is rotated with that one\'s rights'
            )


def size_in_bytes(size: str) -> int:
    """Return `20m` as a number of bytes."""
    factor: int = 1024 ** ("kmg".index(size[-1]) + 1)
    return int(size[:-1]) * factor
