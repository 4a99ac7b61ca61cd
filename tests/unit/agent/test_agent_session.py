"""The agent's side of the conversation: lines in, lines out; a failure ends a message; a superseded run does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.target.compose import parcel


class Agent:
    """The real agent in a process of its own, with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        archive = folder / "agent.pyz"
        archive.write_bytes(parcel.archive())
        # Isolated: it has to work with nothing but the standard library.
        argv = [sys.executable, "-I", "-S", str(archive)]
        environment = {
            **os.environ,
            "SLIPWAY_HOME": str(folder / "home"),
            "SLIPWAY_DOCKER_SOCKET": str(folder / "none"),
        }
        self.process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.number = 0

    def send(self, *operations: dict[str, Any], fence: int | None = None) -> None:
        assert self.process.stdin
        self.number += 1
        message = {"id": self.number, "stack": "probe", "fence": fence, "ops": list(operations)}
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def ask(self, *operations: dict[str, Any], fence: int | None = None) -> list[dict[str, Any]]:
        assert self.process.stdout
        self.send(*operations, fence=fence)
        events = []
        while True:
            events.append(json.loads(self.process.stdout.readline()))
            if events[-1]["event"] == "end":
                return [e for e in events if e["event"] in ("done", "failed")]

    def leave(self) -> int:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None
        return self.process.wait(10)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Agent]]:
    """Start an agent; all of a test's are of one host."""
    made: list[Agent] = []

    def one_more() -> Agent:
        made.append(Agent(tmp_path))
        return made[-1]

    yield one_more
    for agent in made:
        agent.process.kill()
        agent.process.communicate()


@pytest.fixture
def one(start: Callable[[], Agent]) -> Agent:
    return start()


@pytest.fixture
def two(one: Agent, start: Callable[[], Agent]) -> Agent:
    """Another one beside it."""
    return start()


def note(release: str, **facts: Any) -> dict[str, Any]:
    return {"kind": "release.note", "release": release, "facts": facts}


BEGIN = {"kind": "run.begin", "run": {"verb": "deploy", "by": "anna", "env": "here"}}
TAKE = {"kind": "lease.take", "holder": {"by": "anna"}, "above": 0}


def test_operations_are_done_in_order_until_one_fails(one: Agent) -> None:
    answers = one.ask(note("v1", a=1), {"kind": "host.check", "disk_mb": 10**9}, note("v2", a=1))
    assert [a["event"] for a in answers] == ["done", "failed"], "what comes after is not begun"
    assert "MB are needed" in answers[1]["what"]


def test_a_bug_is_told_and_does_not_end_the_session(one: Agent) -> None:
    (answer,) = one.ask({"kind": "no.such.operation"})
    assert answer["bug"]
    assert "KeyError" in answer["what"]
    assert one.ask(note("v1"))[0]["event"] == "done"


def test_a_full_disk_is_no_bug(one: Agent, tmp_path: Path) -> None:
    ledger = tmp_path / "home/stacks/probe/ledger.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.symlink_to("/dev/full")
    (answer,) = one.ask({"kind": "ledger.add", "entry": {"verb": "deploy"}})
    assert answer["event"] == "failed"
    assert (answer["what"], answer["seen"]) == ("no space left on device", str(ledger))
    assert "bug" not in answer
    assert one.ask(note("v1"))[0]["event"] == "done"


def test_the_lease_falls_with_the_connection(one: Agent, two: Agent) -> None:
    assert one.ask(TAKE)[0]["result"] == {"fence": 1}
    assert two.ask(TAKE)[0]["lease"]["by"] == "anna"
    begun = time.monotonic()
    assert one.leave() == 0
    while (got := two.ask(TAKE)[0])["event"] == "failed":
        assert time.monotonic() - begun < 10
    assert got["result"] == {"fence": 2}


def test_it_answers_signs_of_life(one: Agent) -> None:
    """A connection that was cut is told from a host that works for long."""
    assert one.process.stdin
    assert one.process.stdout
    one.process.stdin.write('{"ping": 7}\n')
    one.process.stdin.flush()
    assert json.loads(one.process.stdout.readline()) == {"pong": 7}


def test_a_superseded_run_does_nothing(one: Agent, two: Agent) -> None:
    assert one.ask(note("v1", by="one"), fence=1)[0]["event"] == "done"
    assert two.ask(note("v1", by="two"), fence=2)[0]["event"] == "done"
    (refused,) = one.ask(note("v1", by="one again"), fence=1)
    assert refused["event"] == "failed"
    assert "superseded by run 2" in refused["what"]


def test_a_run_is_journalled(one: Agent, tmp_path: Path) -> None:
    one.ask(BEGIN, note("v1"), fence=1)
    lines = [json.loads(line) for line in (tmp_path / "home/stacks/probe/journal.jsonl").read_text().splitlines()]
    assert lines[0]["event"] == "run.begin"
    assert lines[0]["verb"] == "deploy"
    assert lines[-1]["kind"] == "release.note"


def test_a_stack_of_another_environment_is_left_alone(one: Agent, two: Agent) -> None:
    assert one.ask(BEGIN, fence=1)[0]["event"] == "done"
    one.leave()
    (refused,) = two.ask({**BEGIN, "run": {**BEGIN["run"], "env": "there"}}, fence=2)  # type: ignore[dict-item]
    assert "belongs to the environment here" in refused["what"]
    assert refused["bad_input"]


def test_a_run_that_never_ended_is_told_to_the_next(one: Agent, two: Agent, tmp_path: Path) -> None:
    from slipway.agent.state import StackHome

    home = StackHome("probe")
    home.journal = tmp_path / "home/stacks/probe/journal.jsonl"
    # No router answers here, and it is waited for: the agent is killed with this in its hand.
    one.send(BEGIN, {"kind": "router.apply", "release": "v7", "wanted": {"releases": []}}, fence=1)
    until = time.monotonic() + 10
    while (found := home.unfinished()) is None or found["in_hand"] != "router.apply":
        assert time.monotonic() < until, found
        time.sleep(0.02)
    one.process.kill()
    one.process.wait()
    found = home.unfinished()
    assert found is not None
    assert (found["verb"], found["release"], found["in_hand"]) == ("deploy", "v7", "router.apply")
    two.ask(BEGIN, fence=2)
    two.process.kill()
    found = home.unfinished()
    assert found is not None
    assert found["release"] == "v7", "the next one was killed as well, before it came so far"
