"""What was typed after `inv logs`, as a question for the hosts; what makes no sense is bad input."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.watch.logs.query import Query, Typed, understood
from tests.support import values


def asked(folder: Path, **typed: Any) -> Query:
    env, _, stack = values.settings(folder, hosts=2)
    return understood(Typed(**typed), env, stack)


def test_all_hosts_and_the_last_hundred_lines(tmp_path: Path) -> None:
    found = asked(tmp_path)
    assert found.hosts == ("app1", "app2")
    assert (found.tail, found.params["services"], found.follow) == (100, [], False)


@pytest.mark.parametrize(
    "typed", [{"since": "1h"}, {"grep": "x"}, {"field": ["a=b"]}, {"request_id": "x"}, {"until": "5m"}]
)
def test_what_is_asked_for_is_told_whole(tmp_path: Path, typed: dict[str, Any]) -> None:
    assert asked(tmp_path, **typed).tail is None
    assert asked(tmp_path, **typed, tail="7").tail == 7


def test_names(tmp_path: Path) -> None:
    found = asked(tmp_path, service="web, router", host="app2", field=["level=error", "a=b=c"])
    assert found.params["services"] == ["web", "router"]
    assert found.hosts == ("app2",)
    assert found.params["fields"] == {"level": "error", "a": "b=c"}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("1h30m", "-5400.000"),
        ("500ms", "-0.500"),
        ("2026-01-31T14:05", "2026-01-31T14:05:00.000000000Z"),
        ("2026-01-31 14:05:01.25", "2026-01-31T14:05:01.250000000Z"),
        ("2026-01-31T14:05:00+02:00", "2026-01-31T12:05:00.000000000Z"),
        ("2026-01-31", "2026-01-31T00:00:00.000000000Z"),
    ],
)
def test_times(tmp_path: Path, typed: str, told: str) -> None:
    assert asked(tmp_path, since=typed).params["since"] == told


def test_a_time_of_today(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT14:05:00\.0{9}Z", asked(tmp_path, until="14:05").params["until"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"service": "wep"}, "did you mean"),
        ({"service": "web,nothing"}, "no service nothing"),
        ({"host": "app9"}, "no host app9"),
        ({"since": "yesterday"}, "--since yesterday is no time"),
        ({"until": "25:99"}, "is no time"),
        ({"tail": "-1"}, "--tail -1"),
        ({"tail": "many"}, "--tail many"),
        ({"grep": "a("}, "no regular expression"),
        ({"field": ["level"]}, "KEY=VALUE"),
        ({"field": ["=x"]}, "KEY=VALUE"),
        ({"follow": True, "until": "1m"}, "--follow has no end"),
    ],
)
def test_what_makes_no_sense(tmp_path: Path, typed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        asked(tmp_path, **typed)
