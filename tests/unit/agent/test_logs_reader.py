"""Reading a container's log as the engine leaves it on disk: rotated, zipped, in parts, cut off; and what is wanted of it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from slipway.agent.logs import files
from slipway.agent.logs.operations import in_order, moment
from slipway.agent.logs.reader import Reader
from slipway.agent.logs.select import Wanted
from tests.support.dockerlog import DockerLog, record, stamp


@pytest.fixture
def log(tmp_path: Path) -> DockerLog:
    return DockerLog(tmp_path / "abc-json.log")


def texts(lines: Any) -> list[str]:
    return [text for _, _, text in lines]


def numbers(first: int, last: int) -> list[str]:
    return [f"line {n}" for n in range(first, last)]


def test_all_files_in_order(log: DockerLog) -> None:
    for at in range(0, 4000, 1000):
        log.write(*numbers(at, at + 1000))
        if at < 3000:
            log.rotate(zipped=at < 2000)
    found = list(Reader(log.path).past(Wanted()))
    assert texts(found) == numbers(0, 4000)
    assert [at for at, _, _ in found] == sorted(at for at, _, _ in found)
    assert all(len(at) == 30 for at, _, _ in found), "times that sort as texts"


def test_nothing_was_said_yet(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "none-json.log")
    assert list(reader.past(Wanted())) == []
    assert reader.last(Wanted(), 10) == []
    assert list(reader.more(Wanted())) == []
    DockerLog(reader.path).write("first")
    assert texts(reader.more(Wanted())) == ["first"], "a container that begins to speak later"


@pytest.mark.parametrize("block", [64, 300, 1 << 18])
def test_lines_that_came_in_parts(log: DockerLog, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    long = "x" * 40_000 + "needle" + "y" * 40_000
    log.write("before", long, "after", long, "end")
    assert texts(Reader(log.path).past(Wanted())) == ["before", long, "after", long, "end"]
    if block > 1000:
        assert texts(Reader(log.path).past(Wanted(grep="needle"))) == [long, long]
    assert texts(Reader(log.path).last(Wanted(), 2)) == [long, "end"] or block < 1000


@pytest.mark.parametrize("zipped", [True, False])
def test_a_line_that_was_rotated_in_its_middle(log: DockerLog, zipped: bool) -> None:
    long = "x" * 40_000
    records = record(long, 1_750_000_000.1)
    half = records.index(b"\n") + 1
    reader = Reader(log.path)
    with log.path.open("ab") as file:
        file.write(records[:half])
    found = texts(reader.more(Wanted()))
    log.rotate(zipped=zipped)
    with log.path.open("ab") as file:
        file.write(records[half:])
    assert found + texts(reader.more(Wanted())) == [long]
    assert texts(Reader(log.path).past(Wanted())) == [long]


@pytest.mark.parametrize("block", [128, 1000, 1 << 18])
@pytest.mark.parametrize("count", [0, 1, 7, 1000, 5000])
def test_the_last_lines(log: DockerLog, monkeypatch: pytest.MonkeyPatch, block: int, count: int) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    log.write(*numbers(0, 700))
    log.rotate()
    log.write(*numbers(700, 1400))
    log.rotate(zipped=False)
    log.write(*numbers(1400, 1500))
    assert texts(Reader(log.path).last(Wanted(), count)) == numbers(max(0, 1500 - count), 1500)
    assert texts(Reader(log.path).last(Wanted(grep="9$"), 3)) == ["line 1479", "line 1489", "line 1499"]


def test_what_comes_across_rotations(log: DockerLog) -> None:
    """Whatever the driver does between two looks, each line is read once: twelve thousand of them, at random."""
    chance, written, found = random.Random(7), 0, []
    log.write("line 0")
    written = 1
    reader = Reader(log.path)
    found += texts(reader.past(Wanted()))
    while written < 12_000:
        for _ in range(chance.randint(0, 3)):
            count = chance.randint(0, 400)
            log.write(*numbers(written, written + count))
            written += count
            if count > 350:
                log.rotate(zipped=chance.random() < 0.7)
                if not log.path.with_name(f"{log.path.name}.1.gz").exists() and chance.random() < 0.9:
                    log.zip()
        found += texts(reader.more(Wanted()))
    found += texts(reader.more(Wanted()))
    assert found == numbers(0, written)


def test_a_line_that_is_half_written_waits(log: DockerLog) -> None:
    reader = Reader(log.path)
    whole = record("whole", 1_750_000_000.5)
    with log.path.open("ab") as file:
        file.write(whole[:20])
        file.flush()
        assert list(reader.more(Wanted())) == []
        assert list(Reader(log.path).past(Wanted())) == []
        file.write(whole[20:])
    assert texts(reader.more(Wanted())) == ["whole"]


def test_a_file_that_a_crash_left_damaged(log: DockerLog) -> None:
    log.write("one")
    with log.path.open("ab") as file:
        file.write(b'{"log":"half\n\x00\x00\x00{"log":\n')
    log.write("two")
    assert texts(Reader(log.path).past(Wanted())) == ["one", "two"]
    log.rotate()
    zipped = log.path.with_name(f"{log.path.name}.1.gz")
    zipped.write_bytes(zipped.read_bytes()[:40])
    log.write("three")
    assert texts(Reader(log.path).past(Wanted()))[-1] == "three"


def test_times(log: DockerLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 1 << 15)  # either file has several
    log.write(*numbers(0, 4_000))
    log.rotate()
    log.write(*numbers(4_000, 8_000))

    def between(since: float, until: float) -> list[str]:
        wanted = Wanted(since=files.full(stamp(log.begin + since)), until=files.full(stamp(log.begin + until)))
        return texts(Reader(log.path).past(wanted))

    assert between(5, 5.002) == numbers(5_000, 5_003)
    assert between(2.5, 2.502) == numbers(2_500, 2_503)
    assert between(3.9985, 4.0015) == numbers(3_999, 4_002), "from one file into the next"
    assert between(-5, 0.001) == numbers(0, 2)
    assert between(7.999, 100) == ["line 7999"]
    assert between(10, 100) == []


FIELDS: list[dict[str, Any]] = [
    {"level": "ERROR", "n": 1, "request_id": "abc-1"},
    {"level": "error", "n": 2, "http": {"status": 500}},
    {"level": "info", "n": 3, "request_id": "abc-12", "path": '/a/b?"x"=<&>'},
    {"level": "info", "n": 4, "ok": True, "note": "größer\u2028"},
]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"fields": {"level": "error"}}, [1, 2]),
        ({"fields": {"level": "Error", "n": "2"}}, [2]),
        ({"fields": {"http.status": "500"}}, [2]),
        ({"fields": {"ok": "true"}}, [4]),
        ({"fields": {"note": "größer\u2028"}}, [4]),
        ({"fields": {"path": '/a/b?"x"=<&>'}}, [3]),
        ({"fields": {"none": "null"}}, []),
        ({"request_id": "abc-1"}, [1]),
        ({"grep": r'"n": [34]'}, [3, 4]),
        ({"grep": "(?i)ERROR"}, [1, 2]),
        ({"grep": "abc-1|500"}, [1, 2, 3]),
        ({"grep": "<&>"}, [3]),
        ({"grep": "^.{0,3}level", "fields": {"level": "info"}}, [3, 4]),
    ],
)
def test_what_is_wanted(log: DockerLog, asked: dict[str, Any], found: list[int]) -> None:
    """With the passing over of what can't match, and compared with a search that passes nothing over."""
    log.write(*(json.dumps(f) for f in FIELDS), "plain text", "[1]", '"abc"', "{broken")
    wanted = Wanted(**asked)
    assert [json.loads(t)["n"] for t in texts(Reader(log.path).past(wanted))] == found
    slowly = [line for line in Reader(log.path).past(Wanted()) if wanted.wants(line)]
    assert list(Reader(log.path).past(wanted)) == slowly


def test_a_plain_line_belongs_to_the_request_that_it_names(log: DockerLog) -> None:
    log.write("ERROR: request abc-9 failed", '{"request_id": "other", "message": "after abc-9"}')
    assert texts(Reader(log.path).past(Wanted(request_id="abc-9"))) == ["ERROR: request abc-9 failed"]


def test_the_routers_lines_of_one_stack(log: DockerLog) -> None:
    backends = ["shop:web", "shop2:web", "port-80", "port-81", ""]
    log.write(*(json.dumps({"backend": b}) for b in backends), "[NOTICE] started")
    found = texts(Reader(log.path).past(Wanted(router=("shop:", "port-80"))))
    assert found == ['{"backend": "shop:web"}', '{"backend": "port-80"}', '{"backend": ""}', "[NOTICE] started"]


def test_memory_is_the_same_for_a_long_log(log: DockerLog, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr(files, "BLOCK", 1 << 15)

    def most(lines: int) -> int:
        log.write(*(f"{'z' * 150} {n}" for n in range(lines)))
        log.rotate()
        tracemalloc.start()
        assert sum(1 for _ in Reader(log.path).past(Wanted())) >= lines
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert most(5_000) < most(500) + 500_000, "a list of all would add two million"


def test_logs_are_merged_and_opened_when_their_time_has_come() -> None:
    opened = []

    def lines(name: str, *times: str) -> Any:
        opened.append(name)
        for at in times:
            yield at, 0, "", name

    logs = [("5", lines("late", "5", "7")), ("", lines("a", "1", "6")), ("2", lines("b", "3"))]
    merged = in_order(logs)
    seen = []
    for at, _, _, name in merged:
        seen.append((at, name))
        if at == "1":
            assert "late" not in opened, "an old log's file is not opened before it is needed"
    assert seen == [("1", "a"), ("3", "b"), ("5", "late"), ("6", "a"), ("7", "late")]


def test_an_age_is_by_the_hosts_clock() -> None:
    assert moment("-90.000", now=1_750_000_090.25) == files.full(stamp(1_750_000_000.25))
    assert moment("2026-01-31T14:05:00.000000000Z") == "2026-01-31T14:05:00.000000000Z"
