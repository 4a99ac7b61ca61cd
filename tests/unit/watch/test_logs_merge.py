"""Lines of several hosts in the order of time: as fast as they are taken, on when a host goes, and when it comes back."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest

from slipway.errors import BadInput, SlipwayError
from slipway.plan.operation import Operation
from slipway.watch.logs import feeds, merge
from slipway.watch.logs.feeds import Feed, Line, Part

Events = Iterator[dict[str, Any]]
SOURCE = {"service": "web", "release": "r1", "container": "web-1"}


def data(*lines: tuple[str, str], **more: Any) -> dict[str, Any]:
    told = [[at, 0, "stdout", text] for at, text in lines]
    return {"event": "data", "sources": {"0": SOURCE}, "lines": told, **more}


class Wire:
    """A host's end of a session: says what it is told to, a part for each that was asked for."""

    def __init__(self, *answers: Callable[[dict[str, Any]], Events]) -> None:
        self.answers = iter(answers)
        self.credit = threading.Semaphore(0)
        self.sent = 0
        self.params: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def open(self) -> Iterator[Wire]:
        self.credit = threading.Semaphore(0)
        yield self

    def stream(self, stack: str, operation: Operation, ahead: int) -> Events:
        self.credit.release(ahead)
        self.params.append(dict(operation.params))
        for event in next(self.answers)(dict(operation.params)):
            if event["event"] == "data":
                self.credit.acquire()
                self.sent += 1
            yield event

    def ask_for(self, parts: int) -> None:
        self.credit.release(parts)

    def close(self) -> None:
        self.credit.release(1000)


def says(*events: dict[str, Any], then: Exception | None = None) -> Callable[[dict[str, Any]], Events]:
    def answer(_: dict[str, Any]) -> Events:
        yield from events
        if then:
            raise then

    return answer


def started(wires: dict[str, Wire], **params: Any) -> tuple[list[Feed], Queue[Part]]:
    arrivals: Queue[Part] = Queue()
    asked = {"follow": False, "tail": None, **params}
    return [Feed(name, "shop", asked, wire.open, arrivals) for name, wire in wires.items()], arrivals


def nothing(*_: Any) -> None:
    pass


def brief(lines: Iterator[Line]) -> list[str]:
    return [f"{line.host} {line.text}" for line in lines]


def test_in_the_order_of_time() -> None:
    one = Wire(says(data(("1", "a"), ("4", "b")), data(("5", "c"))))
    two = Wire(says(data(("2", "d")), data(("3", "e"), ("6", "f"))))
    found, _ = started({"app1": one, "app2": two})
    assert brief(merge.past(found, nothing, nothing)) == ["app1 a", "app2 d", "app2 e", "app1 b", "app1 c", "app2 f"]


def test_a_host_is_only_a_few_parts_ahead_of_who_reads() -> None:
    def endless(_: dict[str, Any]) -> Events:
        for number in itertools.count():
            yield data((f"{number:09d}", "x"))

    wire, other = Wire(endless), Wire(endless)
    found, _ = started({"app1": wire, "app2": other})
    lines = merge.past(found, nothing, nothing)
    for _ in range(20):
        next(lines)
    time.sleep(0.2)
    assert wire.sent <= 20, "what nobody reads is not sent"
    assert wire.sent >= 4, "and some of it is there before it is asked for"


def test_a_host_that_goes_away_is_told_and_the_others_go_on() -> None:
    away = SlipwayError("the connection to the host was lost", where="app1")
    one, two = Wire(says(data(("1", "a")), then=away)), Wire(says(data(("2", "b"), ("3", "c"))))
    found, _ = started({"app1": one, "app2": two})
    told: list[tuple[str, Any]] = []
    lines = merge.past(found, lambda feed, part: told.append((feed.host, part.error)), nothing)
    assert brief(lines) == ["app1 a", "app2 b", "app2 c"]
    assert told == [("app1", away)]


def live(params: dict[str, Any]) -> Events:
    yield data(("1", "old"), live=True)
    yield data(("5", "new"), upto="6")
    time.sleep(0.5)
    yield data(upto="9")


def test_what_comes_waits_for_hosts_that_are_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_PATIENCE", 5.0)

    def behind(_: dict[str, Any]) -> Events:
        yield data(live=True)
        time.sleep(0.3)
        yield data(("4", "late"), upto="7")
        yield data(upto="9")

    found, arrivals = started({"app1": Wire(live), "app2": Wire(behind)}, follow=True)
    assert brief(merge.past(found, nothing, nothing)) == ["app1 old"]
    assert brief(merge.coming(found, (), arrivals, nothing, nothing)) == ["app2 late", "app1 new"]


def test_what_comes_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_PATIENCE", 0.2)

    def silent(_: dict[str, Any]) -> Events:
        yield data(live=True)
        time.sleep(3)

    found, arrivals = started({"app1": Wire(live), "app2": Wire(silent)}, follow=True)
    assert brief(merge.past(found, nothing, nothing)) == ["app1 old"]
    began = time.monotonic()
    assert next(merge.coming(found, (), arrivals, nothing, nothing)).text == "new"
    assert time.monotonic() - began < 1.5


def test_a_host_that_comes_back_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "_AGAIN_AFTER", 0.05)
    lost = SlipwayError("the connection to the host was lost")
    wire = Wire(
        says(data(("1", "a"), live=True), data(("2", "b"), upto="2"), then=lost),
        says(then=SlipwayError("the host can't be reached over SSH")),
        says(data(("3", "c")), data(live=True), data(("4", "d"), upto="4")),
    )
    found, arrivals = started({"app1": wire}, follow=True)
    told: list[str] = []

    def tell(_: Feed, part: Part) -> None:
        told.append(part.words or str(part.error and part.error.what))

    assert brief(merge.past(found, tell, nothing)) == ["app1 a"]
    assert brief(merge.coming(found, (), arrivals, tell, nothing)) == ["app1 b", "app1 c", "app1 d"]
    assert told == ["the connection to the host was lost", "the host can't be reached over SSH", "it is back"]
    assert [p.get("after", "") for p in wire.params] == ["", "2", "2"], "later than the last line that came"


def test_a_wrong_host_key_is_not_tried_again() -> None:
    found, _ = started({"app1": Wire(says(then=BadInput("the host key is unknown")))}, follow=True)
    told: list[Part] = []
    assert brief(merge.past(found, lambda _, part: told.append(part), nothing)) == []
    assert told[0].ends
    assert isinstance(told[0].error, BadInput)
