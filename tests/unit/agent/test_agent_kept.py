"""How the agent gets to a host and stays there: sent once, compiled once, and run only where it is whole and safe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.target.compose import parcel


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "agent").mkdir(mode=0o750)
    return tmp_path


def kept(home: Path) -> Path:
    return home / "agent" / f"{parcel.digest()}.pyz"


class Talk:
    """A deployer's conversation with what its command started, on this machine."""

    def __init__(self, home: Path) -> None:
        environment = {**os.environ, "SLIPWAY_HOME": str(home), "SLIPWAY_DOCKER_SOCKET": str(home / "none")}
        argv = [sys.executable, *parcel.command()[1:]]
        self.process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.write(f"{parcel.digest()}\n".encode())

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line else {}

    def send(self) -> None:
        self.write(f"{len(parcel.archive())}\n".encode() + parcel.archive())

    def ask(self, kind: str) -> dict[str, Any]:
        self.write(json.dumps({"id": 1, "stack": "probe", "fence": None, "ops": [{"kind": kind}]}).encode() + b"\n")
        events = []
        while (event := self.read())["event"] != "end":
            events.append(event)
        return events[-1]

    def end(self) -> str:
        return self.process.communicate()[1].decode()


def start(home: Path) -> list[str]:
    """Start a session as a deployer does; return the events before it serves. It has been asked something then."""
    talk = Talk(home)
    events = [talk.read()["event"]]
    if events == ["send"]:
        talk.send()
        events.append(talk.read()["event"])
    assert talk.ask("host.about")["event"] == "done"
    assert talk.end() == ""
    return events


def test_it_is_sent_once(home: Path) -> None:
    assert start(home) == ["send", "ready"]
    assert start(home) == ["ready"]
    names = {path.name for path in (home / "agent").iterdir()}
    assert names == {kept(home).name, "current.pyz"}
    assert {path.stat().st_mode & 0o777 for path in (home / "agent").iterdir()} == {0o600}


def test_what_is_kept_is_compiled(home: Path) -> None:
    start(home)
    with zipfile.ZipFile(kept(home)) as archive:
        sources = {name for name in archive.namelist() if name.endswith(".py")}
        assert {f"{name}c" for name in sources} == set(archive.namelist()) - sources
    # What runs is the bytecode: compiled from other sources, it would not be looked at again.
    told = "import sys; sys.path.insert(0, sys.argv[1]); import slipway.agent.session as s; print(s.__cached__)"
    done = subprocess.run([sys.executable, "-c", told, kept(home)], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("session.pyc")


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _of_another_python(path: Path) -> None:
    data = path.read_bytes()
    assert sys.implementation.cache_tag
    path.write_bytes(data[:-20] + data[-20:].replace(sys.implementation.cache_tag.encode()[-3:], b"300"))


def _writable(path: Path) -> None:
    path.chmod(0o620)


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def _without_the_timers(path: Path) -> None:
    path.with_name("current.pyz").unlink()


def _with_other_timers(path: Path) -> None:
    path.with_name("current.pyz").unlink()
    path.with_name("current.pyz").write_bytes(b"older")


@pytest.mark.parametrize(
    "spoil", [_cut, _empty, _flip, _of_another_python, _writable, _link, _without_the_timers, _with_other_timers]
)
def test_what_is_not_whole_and_ours_does_not_run(home: Path, spoil: Callable[[Path], None]) -> None:
    start(home)
    spoil(kept(home))
    assert start(home) == ["send", "ready"]
    assert start(home) == ["ready"]
    assert kept(home).samefile(home / "agent" / "current.pyz")


@pytest.mark.parametrize("part", [0, 1000, -1])
def test_a_deployer_that_goes_while_it_sends_leaves_nothing(home: Path, part: int) -> None:
    talk = Talk(home)
    assert talk.read()["event"] == "send"
    talk.write(f"{len(parcel.archive())}\n".encode() + parcel.archive()[:part])
    assert "went away" in talk.end()
    assert list((home / "agent").iterdir()) == []


def test_a_session_outlives_its_agent(home: Path) -> None:
    """Another version's deployer comes meanwhile: what this one still has to import is the agent that it began with."""
    start(home)
    talk = Talk(home)
    assert talk.read()["event"] == "ready"
    for path in (home / "agent").iterdir():
        path.unlink()
    assert talk.ask("host.about")["event"] == "done"
    assert talk.end() == ""


def test_older_ones_go(home: Path) -> None:
    for name in ("0123456789abcdef.pyz", "0123456789abcdef.pyz.4711", "current.pyz"):
        (home / "agent" / name).write_bytes(b"older")
    (home / "agent" / "reap.log").touch()
    start(home)
    assert {path.name for path in (home / "agent").iterdir()} == {kept(home).name, "current.pyz", "reap.log"}


def test_a_folder_that_takes_nothing_keeps_nobody_from_looking(home: Path) -> None:
    (home / "agent" / "current.pyz").mkdir()  # as a full disk would: the file can't be put there
    assert start(home) == ["send", "ready"]
    assert not kept(home).exists()


def test_a_host_that_is_not_provisioned(tmp_path: Path) -> None:
    talk = Talk(tmp_path)
    assert talk.read()["event"] == "bare"
    assert talk.end() == ""


def test_the_timers_run_it(home: Path) -> None:
    start(home)
    environment = {**os.environ, "SLIPWAY_HOME": str(home)}
    argv = [sys.executable, "-I", "-S", home / "agent" / "current.pyz", "reap"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
