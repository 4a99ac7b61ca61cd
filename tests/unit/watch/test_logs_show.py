"""A line for people, and for programs."""

from __future__ import annotations

import json

import pytest

from slipway.watch.logs import show
from slipway.watch.logs.feeds import Line

SOURCE = {"service": "api", "release": "1a2b3c4d5e-f00ba4", "container": "shop-1a2b3c4d5e-f00ba4-api-2"}


def line(text: str, **source: str) -> Line:
    return Line("2026-01-31T14:05:01.123456789Z", "app1", "stdout", text, {**SOURCE, **source})


HEAD = "2026-01-31 14:05:01.123 app1 api.2@f00ba4 "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("plain words", "plain words"),
        ('{"level":"error","message":"no file","file":"a b","n":1}', 'ERROR no file file="a b" n=1'),
        ('{"severity":"WARNING","msg":"hm","service":"api","release":"x"}', "WARNING hm"),
        ('{"method":"GET","path":"/x","status":200,"ms":3}', "GET /x status=200 ms=3"),
        ("{broken", "{broken"),
        ("[1]", "[1]"),
        ('{"a":null}', "a=null"),
        ("a\x1b[2Jb\rc", r"a\x1b[2Jb\x0dc"),
        ('{"message":"a\\u001b]0;x\\u0007"}', r"a\x1b]0;x\x07"),
    ],
)
def test_for_people(text: str, told: str) -> None:
    assert show.as_text(colours=False)(line(text)) == HEAD + told


def test_in_colours() -> None:
    tell = show.as_text(colours=True)
    red = tell(line('{"level":"error","message":"no file"}'))
    assert "\x1b[31mERROR\x1b[0m" in red
    services = {tell(line("x", service=name)).split("app1")[0] for name in ("api", "worker", "router")}
    assert len(services) > 1, "services differ in their colours"


def test_without_a_release() -> None:
    assert " app1 postgres.1 " in show.as_text(colours=False)(
        line("x", service="postgres", release="", container="a-postgres-1")
    )
    assert " app1 router " in show.as_text(colours=False)(
        line("x", service="router", release="", container="slipway-proxy")
    )


def test_for_programs() -> None:
    found = json.loads(show.as_json(line('{"level":"error","n":1}')))
    assert found == {
        "time": "2026-01-31T14:05:01.123456789Z", "host": "app1", **SOURCE, "stream": "stdout",
        "text": '{"level":"error","n":1}', "fields": {"level": "error", "n": 1},
    }  # fmt: skip
    assert "fields" not in json.loads(show.as_json(line("plain\x1b")))
