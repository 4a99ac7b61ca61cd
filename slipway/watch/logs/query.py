"""What is asked of logs, as typed on the command line: a pure function from words to a question for the hosts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slipway.errors import BadInput
from slipway.settings.model import Environment, Stack
from slipway.settings.problems import listed, nearest
from slipway.settings.units import parse_duration

ROUTER = "router"
"""What HAProxy's access log is called among the services."""

USUAL_TAIL = 100
"""Lines that are shown where nothing says how many."""


@dataclass(frozen=True)
class Typed:
    """What was typed, word for word; "" for what was not."""

    service: str = ""
    host: str = ""
    since: str = ""
    until: str = ""
    tail: str = ""
    grep: str = ""
    field: Sequence[str] = ()
    request_id: str = ""
    follow: bool = False


@dataclass(frozen=True)
class Query:
    """What the hosts are asked.

    Args:
        hosts: which, by name.
        params: of the operation `logs.read`.
    """

    hosts: tuple[str, ...]
    params: dict[str, Any]

    @property
    def tail(self) -> int | None:
        """How many lines at most, None for all."""
        return None if self.params["tail"] is None else int(self.params["tail"])

    @property
    def follow(self) -> bool:
        """Whether it goes on with what comes."""
        return bool(self.params["follow"])


def understood(typed: Typed, env: Environment, stack: Stack) -> Query:
    """Return what was typed as a question.

    Raises:
        BadInput: there is no such service or host; that is no time, number or regular expression; an end of what is followed.
    """
    services = _names("service", typed.service, [*(s.name for s in stack.services), ROUTER])
    hosts = _names("host", typed.host, [h.name for h in env.hosts])
    if typed.follow and typed.until:
        raise BadInput("--follow has no end, --until is one", todo="leave one of them out")
    try:
        re.compile(typed.grep)
    except re.error as error:
        raise BadInput(f"--grep {typed.grep[:60]!r} is no regular expression", seen=str(error)) from error
    fields = dict(map(_field, typed.field))
    asked = any((typed.since, typed.until, typed.grep, fields, typed.request_id))
    return Query(
        tuple(hosts or (h.name for h in env.hosts)),
        {
            "services": services,
            "since": _time("since", typed.since),
            "until": _time("until", typed.until),
            "tail": _count(typed.tail) if typed.tail else None if asked else USUAL_TAIL,
            "grep": typed.grep,
            "fields": fields,
            "request_id": typed.request_id,
            "follow": typed.follow,
        },
    )


def _names(what: str, typed: str, known: Sequence[str]) -> list[str]:
    names = [name.strip() for name in typed.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise BadInput(f"there is no {what} {name[:40]}{nearest(name, known)}", todo=f"one of {listed(known)}")
    return names


def _field(typed: str) -> tuple[str, str]:
    key, sign, value = typed.partition("=")
    if not (key and sign):
        raise BadInput(f"--field {typed[:60]} should be KEY=VALUE", todo="such as --field level=error")
    return key, value


def _count(typed: str) -> int:
    if not (typed.isascii() and typed.isdigit()):
        raise BadInput(f"--tail {typed[:40]} should be a number of lines")
    return int(typed)


def _time(name: str, typed: str) -> str:
    """Return a time as the hosts understand it: `-SECONDS` before their now, or all nine digits of a fraction, in UTC."""
    if not typed:
        return ""
    try:
        return f"-{parse_duration(typed):.3f}"
    except ValueError:
        pass
    today = datetime.now(UTC).date().isoformat()
    try:
        at = datetime.fromisoformat(f"{today}T{typed}" if re.match(r"\d\d:", typed) else typed)
    except ValueError as error:
        todo = (
            "an age such as 90s, 10m, 1h30m; or a time such as 14:05, 2026-01-31T14:05, in UTC unless it says otherwise"
        )
        raise BadInput(f"--{name} {typed[:40]} is no time", todo=todo) from error
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}000Z"
