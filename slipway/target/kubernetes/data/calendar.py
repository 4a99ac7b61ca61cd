"""Times as systemd.time(7) writes them, as cron does: CronJobs know no other. Pure."""

from __future__ import annotations

import re

from slipway.errors import BadInput

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS = {
    "hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *", "yearly": "0 0 1 1 *",
}  # fmt: skip
_TIME = re.compile(
    r"(?:(?P<days>[A-Za-z,.]+)\s+)?(?:(?P<year>[^-\s]+)-(?P<month>[^-\s]+)-(?P<day>[^-\s]+)\s+)?"
    r"(?P<hour>[^:\s]+):(?P<minute>[^:\s]+)(?::(?P<second>\d+))?"
)
_FIELD = re.compile(r"\*|(\*|\d+)/\d+|\d+(\.\.\d+)?(,\d+(\.\.\d+)?)*")
_LAST = {"hour": 23, "minute": 59, "month": 12, "day": 31}


def cron(text: str, where: str) -> str:
    """Return a time in cron's words: minute, hour, day, month, day of the week.

    Args:
        text: as `backup.schedule` has it.
        where: which setting, for the error.

    Raises:
        BadInput: cron has no word for it.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    found = _TIME.fullmatch(text.strip())
    # Cron takes a day of the week and one of the month for "one of them", systemd for both.
    if not found or found["year"] not in (None, "*") or (found["days"] and found["day"] not in (None, "*")):
        raise _unknown(text, where)
    fields = [_field(text, where, key, found[key] or "*") for key in ("minute", "hour", "day", "month")]
    return " ".join([*fields, _days(text, where, found["days"])])


def _field(text: str, where: str, key: str, value: str) -> str:
    if not _FIELD.fullmatch(value):
        raise _unknown(text, where)
    start, _, step = value.partition("/")
    if step:
        return f"{'*' if start in ('*', '0', '00') else f'{int(start)}-{_LAST[key]}'}/{int(step)}"
    return ",".join("-".join(n if n == "*" else str(int(n)) for n in part.split("..")) for part in value.split(","))


def _days(text: str, where: str, value: str | None) -> str:
    if not value:
        return "*"
    found: set[int] = set()
    try:
        for part in value.split(","):
            ends = [_DAYS.index(day.lower()[:3]) for day in part.split("..")]
            found |= {day % 7 for day in range(ends[0], ends[-1] + (1 if ends[0] <= ends[-1] else 8))}
    except ValueError as error:
        raise _unknown(text, where) from error
    return ",".join(map(str, sorted(found)))


def _unknown(text: str, where: str) -> BadInput:
    return BadInput(
        f"a cluster's CronJob has no word for the time {text}", where=where,
        todo="days of the week, a date and a time go: *-*-* 02:30:00, Mon..Fri *-*-* 04:00:00, *-*-* 00/6:15:00",
    )  # fmt: skip
