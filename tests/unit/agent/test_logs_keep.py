"""Logs of containers that are removed: kept whole, found again, and removed by their age, their size, or for want of disk."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from slipway.agent import engine, state
from slipway.agent.logs import bound, keep, sources
from slipway.agent.logs.reader import Reader
from slipway.agent.logs.select import Wanted
from slipway.agent.state import StackHome
from tests.support.dockerlog import DockerLog


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackHome:
    for module in (state, keep, bound):
        monkeypatch.setattr(module, "HOME", tmp_path)
    monkeypatch.setattr(keep, "FOLDER", tmp_path / "logs")
    monkeypatch.setattr(bound, "_FREED", tmp_path / "logs/freed.json")
    return StackHome("shop")


def container(log: DockerLog, name: str) -> dict[str, Any]:
    labels = {"slipway.stack": "shop", "slipway.service": "web", "slipway.release": "r1"}
    return {
        "Id": name * 16, "Name": f"/{name}", "Created": "2025-06-15T00:00:00.5Z", "LogPath": str(log.path),
        "Config": {"Labels": labels},
    }  # fmt: skip


def test_what_is_removed_is_kept_with_its_last_words(
    home: StackHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: set[str] = set()
    monkeypatch.setattr(engine, "api", lambda _, path: {} if path.split("/")[2] in there else None)
    logs = {name: DockerLog(tmp_path / f"{name}-json.log") for name in ("gone", "stays", "mute")}
    told = [container(log, name) for name, log in logs.items()]
    there.add(told[1]["Id"])
    for log in (logs["gone"], logs["stays"]):
        log.write("one", "two")
        log.rotate()
        log.write("three")
    with keep.logs_of_removed([*told, {"Id": "other"}]):
        logs["gone"].write("last words")
        for path in tmp_path.glob("gone-json.log*"):
            path.unlink()
    (source,) = sources.removed(home, [], "")
    assert (source.service, source.release, source.container) == ("web", "r1", "gone")
    assert [text for _, _, text in Reader(source.path, zipped=True).past(Wanted())] == [
        "one",
        "two",
        "three",
        "last words",
    ]
    assert [text for _, _, text in Reader(source.path, zipped=True).last(Wanted(), 2)] == ["three", "last words"]
    assert source.path.stat().st_mode & 0o777 == 0o640
    assert sources.removed(home, ["other"], "") == []
    assert sources.removed(home, [], source.until) == [source]
    assert sources.removed(home, [], "2030-01-01T00:00:00.000000000Z") == [], "it ended before that"


def kept(home: StackHome, name: str, size: int, days: float) -> Path:
    path = keep.folder(home.stack) / f"{name}.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    path.with_suffix(".json").write_text("{}")
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def policy(home: StackHome, **over: Any) -> None:
    rules = {"keep": 14 * 86400.0, "keep_bytes": 10**6, "free_bytes": 0, **over}
    home.path.mkdir(parents=True, exist_ok=True)
    home.policy.write_text(json.dumps({"logs": rules}))


def left(home: StackHome) -> set[str]:
    return {p.name for p in keep.folder(home.stack).iterdir()}


def test_what_is_old_goes(home: StackHome) -> None:
    kept(home, "old", 10, 15)
    kept(home, "new", 10, 13)
    bound.bound()
    assert len(left(home)) == 4, "without a policy nothing goes"
    policy(home)
    bound.bound()
    assert left(home) == {"new.gz", "new.json"}


def test_the_oldest_go_where_there_is_too_much(home: StackHome) -> None:
    for day in range(5):
        kept(home, f"day{day}", 400_000, day)
    policy(home)
    bound.bound()
    assert left(home) == {"day0.gz", "day0.json", "day1.gz", "day1.json"}


def test_a_disk_nearly_full(
    home: StackHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept logs go, the oldest first, until there is enough; what is left is not touched, and it is said."""
    for day in range(4):
        kept(home, f"day{day}", 1000, day)
    policy(home, free_bytes=5000)
    monkeypatch.setattr(bound, "free_bytes", lambda: 7000 - sum(p.stat().st_size for p in keep.FOLDER.rglob("*.gz")))
    bound.bound()
    assert left(home) == {"day0.gz", "day0.json", "day1.gz", "day1.json"}
    told = bound.told()
    assert [r["what"] for r in told["freed"]["removed"]] == ["the kept log day3.gz", "the kept log day2.gz"]
    assert (told["freed"]["before"], told["freed"]["after"], told["free"]) == (3000, 5000, 5000)
    assert "removed: the kept log day3.gz" in capsys.readouterr().err
    bound.bound()
    assert capsys.readouterr().err == "", "there is enough now"


def test_that_nothing_is_left_to_be_freed_is_said_once(
    home: StackHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    policy(home, free_bytes=5000)
    keep.FOLDER.mkdir(parents=True)
    monkeypatch.setattr(bound, "free_bytes", lambda: 10)
    monkeypatch.setattr(engine, "api", lambda *_, **__: {})
    monkeypatch.setattr(engine, "containers", list)
    for expected in (True, False):
        bound.bound()
        assert ("nothing is left to be freed" in capsys.readouterr().err) is expected
