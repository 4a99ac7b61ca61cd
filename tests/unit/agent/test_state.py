"""What a host remembers survives a crash at any instant; a superseded run may do nothing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from slipway.agent import lease as leases
from slipway.agent import state
from slipway.agent.failure import OperationFailed
from slipway.agent.lease import Lease
from slipway.agent.state import StackHome


def test_a_file_is_the_old_one_or_the_new_one(home: StackHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a/file.json"
    state.write_json(path, {"n": 1})
    assert path.stat().st_mode & 0o777 == 0o640

    def crash(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="no space"):
        state.write_json(path, {"n": 2})
    assert state.read_json(path) == {"n": 1}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"], "and nothing beside it"


def test_half_a_line_is_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    state.append_line(path, {"n": 1})
    with path.open("a") as file:
        file.write('{"n": 2, "cut off')
    assert state.read_lines(path) == [{"n": 1}]
    state.append_line(path, {"n": 3})
    assert state.read_lines(path) == [{"n": 1}, {"n": 3}]


def test_what_is_not_there(tmp_path: Path) -> None:
    assert state.read_json(tmp_path / "none") is None
    assert state.read_lines(tmp_path / "none") == []
    (tmp_path / "half").write_text('{"a":')
    assert state.read_json(tmp_path / "half") is None


def test_what_is_noted_already_is_not_written_again(home: StackHome) -> None:
    """The timer notes each minute, on a disk that may be full."""
    home.note("r1", verified=True)
    path = home.release("r1") / "release.json"
    before = path.stat().st_ino
    home.note("r1", verified=True)
    assert path.stat().st_ino == before
    home.note("r1", stopped_at="now")
    assert (home.meta("r1"), path.stat().st_ino == before) == ({"verified": True, "stopped_at": "now"}, False)


def test_the_fence_only_rises(home: StackHome) -> None:
    home.raise_fence(3)
    home.raise_fence(3)
    home.raise_fence(5)
    with pytest.raises(OperationFailed, match="run 4 has been superseded by run 5"):
        home.raise_fence(4)


@pytest.mark.skipif(not shutil.which("setfacl"), reason="setfacl is not installed here; hosts have it")
def test_secret_files_are_closed_but_to_their_readers(home: StackHome, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    changed = state.write_secrets(folder, {"token": {"value": "x", "readers": ["10001"]}})
    assert changed == ["token"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "token").stat().st_mode & 0o007 == 0
    assert state.write_secrets(folder, {"token": {"value": "x", "readers": ["10001"]}}) == [], "as it was"
    assert state.write_secrets(folder, {"other": {"value": "y", "readers": ["0"]}}) == ["other"]
    assert [p.name for p in folder.iterdir()] == ["other"], "what is not needed any more is gone"


def test_a_lease_has_one_holder_and_falls_with_it(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "flock", lambda descriptor, wait: state.flock(descriptor, wait / 10))
    one, two = Lease("probe"), Lease("probe")
    assert one.holder() is None
    assert one.take({"by": "anna@here", "command": "inv deploy"}) == 1
    with pytest.raises(OperationFailed) as refused:
        two.take({"by": "ben@there"})
    assert refused.value.lease["by"] == "anna@here"
    assert two.holder()["by"] == "anna@here"  # type: ignore[index]  # it is held
    one._file.close()  # as when its process ends
    assert Lease("probe").holder() is None
    assert two.take({"by": "ben@there"}) == 2, "the next number"
    two._file.close()
    assert Lease("probe").take({"by": "eve"}, above=40) == 41, "higher than on any other host"


def test_a_freeze_keeps_everybody_out(home: StackHome) -> None:
    lease = Lease("probe")
    assert lease.freeze({"by": "anna", "message": "audit"}) == {"before": None}
    for refused in (lambda: Lease("probe").take({"by": "ben"}), lambda: lease.freeze({"by": "ben", "message": "mine"})):
        with pytest.raises(OperationFailed) as caught:
            refused()
        assert caught.value.lease["message"] == "audit"
    assert lease.freeze({"by": "anna", "message": "longer audit"})["before"]["message"] == "audit"
    assert lease.freeze(None)["before"]["by"] == "anna"
    assert Lease("probe").take({"by": "ben"}) == 1


def test_the_holder_is_kept_for_others_to_read(home: StackHome) -> None:
    lease = Lease("probe")
    lease.take({"by": "anna"})
    told = json.loads((home.path / "holder.json").read_text())
    assert told["by"] == "anna"
    assert told["since"].endswith("Z")
    assert told["beat"] > 0
