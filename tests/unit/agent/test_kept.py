"""What a host is told to keep: written so that its owner alone reads it, read back as the same, replaced whole."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from slipway.agent import state
from slipway.agent.data import backup, glance, keep, restic
from slipway.agent.failure import OperationFailed

DOCUMENT: dict[str, Any] = {
    "env": "e",
    "stack": "s",
    "repository": "/var/backups/x",
    "image": "restic/restic:0.18.0",
    "keep": {"daily": 3},
    "copies": ["/mnt/copy", "sftp:a@b:/c"],
    "kept": [{"service": "db", "kind": "postgres", "database": "d", "tables": ["a", "b.c"]}],
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> state.StackHome:
    monkeypatch.setattr(state, "HOME", tmp_path)
    return state.StackHome("s")


def test_it_is_read_back_as_it_was_written(home: state.StackHome) -> None:
    keep.write_document(home, DOCUMENT, {"password": "p", "env.KEY": "k"}, {"envs/e.yml": "a: 1\n"})
    read = keep.document(home)
    assert read.kept == (keep.Kept("db", "postgres", database="d", tables=("a", "b.c")),)
    assert read.kept[0].file == "/db.dump"
    secrets = {p.name: p.read_text() for p in (keep.folder(home) / "secrets").iterdir()}
    assert secrets == {
        "password": "p", "env.KEY": "k", "repository": "/repository", "copy-0": "/copies/0", "copy-1": "sftp:a@b:/c",
    }  # fmt: skip
    files = [p for p in keep.folder(home).rglob("*") if p.is_file()]
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}
    assert (keep.folder(home) / "configuration/envs/e.yml").read_text() == "a: 1\n"


def test_what_is_kept_no_longer_goes(home: state.StackHome) -> None:
    keep.write_document(home, DOCUMENT, {"password": "p", "env.KEY": "k"}, {"envs/e.yml": "", "envs/old.yml": ""})
    keep.write_document(home, {**DOCUMENT, "copies": []}, {"password": "q"}, {"envs/e.yml": ""})
    assert sorted(p.name for p in (keep.folder(home) / "secrets").iterdir()) == ["password", "repository"]
    assert not (keep.folder(home) / "configuration/envs/old.yml").exists()


def test_a_stack_that_was_never_told(home: state.StackHome) -> None:
    assert glance.state(home) is None
    assert backup.before_migrations(home, "me", print) is None
    with pytest.raises(OperationFailed) as caught:
        keep.document(home)
    assert caught.value.bad_input


def test_before_migrations(home: state.StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup is made, unless one is young enough, the environment wants none, or nothing was ever live."""
    made: list[str] = []
    monkeypatch.setattr(backup, "run", lambda home, who, **_: made.append(who.command) or {})
    keep.write_document(home, {**DOCUMENT, "fresh": 60}, {"password": "p"}, {})
    backup.before_migrations(home, "me", print)
    assert made == []
    home.note("r-1", live_since=state.now())
    backup.before_migrations(home, "me", print)
    assert made == ["before migrations"]
    here = {"set": "x", "repository": DOCUMENT["repository"]}
    state.write_json(keep.folder(home) / "good.json", {**here, "at": state.now()})
    backup.before_migrations(home, "me", print)
    assert made == ["before migrations"]
    state.write_json(keep.folder(home) / "good.json", {**here, "at": "2020-01-01T00:00:00.000Z"})
    keep.write_document(home, {**DOCUMENT, "before_migrations": False}, {"password": "p"}, {})
    backup.before_migrations(home, "me", print)
    assert made == ["before migrations"]


def test_a_backup_that_is_late(home: state.StackHome) -> None:
    keep.write_document(home, {**DOCUMENT, "late_after": 60}, {"password": "p"}, {})
    assert glance.state(home) == {"last": None, "age_s": None, "set": None, "late": True, "failed": None, "drill": None}
    here = {"set": "x", "repository": DOCUMENT["repository"]}
    state.write_json(keep.folder(home) / "good.json", {**here, "at": state.now()})
    state.write_json(keep.folder(home) / "last.json", {"at": state.now(), "outcome": "failed: full"})
    found = glance.state(home)
    assert found
    assert (found["set"], found["late"], found["failed"]) == ("x", False, "failed: full")
    state.write_json(keep.folder(home) / "good.json", {**here, "at": "2020-01-01T00:00:00.000Z"})
    assert (glance.state(home) or {})["late"]


def test_a_good_backup_of_another_repository_says_nothing(home: state.StackHome) -> None:
    here = {"set": "x", "repository": DOCUMENT["repository"], "at": state.now(), "verdict": "good"}
    state.write_json(keep.folder(home) / "good.json", here)
    keep.write_document(home, {**DOCUMENT, "repository": "/var/backups/other"}, {"password": "p"}, {})
    found = glance.state(home) or {}
    assert (found["set"], found["late"], found["drill"]) == (None, True, None)


def test_a_host_that_keeps_nothing_any_more(home: state.StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timer finds no work, and the repository's password is gone from it."""
    monkeypatch.setattr(backup, "run", lambda *_, **__: pytest.fail("it was backed up"))
    keep.write_document(home, DOCUMENT, {"password": "p"}, {"envs/e.yml": ""})
    assert keep.forget(home)
    assert not keep.forget(home)
    assert backup.run_all() == 0
    assert glance.state(home) is None
    assert [p for p in keep.folder(home).rglob("*") if p.is_file()] == []


def test_what_restic_says_is_told_as_words() -> None:
    said = '{"message_type":"exit_error","code":1,"message":"Fatal: no space left on device"}\nplain\nplain\n'
    assert restic.told(restic.Done(1, "", said)) == "Fatal: no space left on device\nplain"
    watch = restic.Watch()
    watch('{"message_type":"status","bytes_done":5}\n')
    with pytest.raises(OperationFailed):
        watch.ended(restic.Done(0))  # an exit code of 0 alone makes no snapshot
    watch('{"message_type":"summary","snapshot_id":"abc"}\n')
    assert watch.ended(restic.Done(0))["snapshot_id"] == "abc"
