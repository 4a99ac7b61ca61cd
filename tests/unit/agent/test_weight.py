"""The processor's share of containers: little while they start, as much as others have before they get requests."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.agent import engine, gate, operations, releases, router, start, weight
from slipway.agent.failure import OperationFailed
from slipway.agent.state import StackHome


class Engine:
    """Containers with their shares, as the engine keeps them."""

    def __init__(self, **shares: int) -> None:
        state = {"Pid": 7, "Running": True, "StartedAt": "noon"}
        self.all = {n: {"Id": n, "HostConfig": {"CpuShares": s}, "State": state} for n, s in shares.items()}
        self.now = state
        for container in self.all.values():
            container["Config"] = {"Labels": {"slipway.release": "new", "slipway.service": "web"}}
        self.refuses = False

    def api(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        if path.endswith("/update"):
            if self.refuses:
                raise OperationFailed("the Docker Engine refused it")
            self.all[path.split("/")[2]]["HostConfig"]["CpuShares"] = body["CpuShares"]
            return {}
        return {**self.all[path.split("/")[2]], "State": self.now}

    def listed(self, *_: Any, **__: Any) -> list[Any]:
        return list(self.all.values())

    def shares(self) -> dict[str, int]:
        return {n: c["HostConfig"]["CpuShares"] for n, c in self.all.items()}


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(plain=0, again=1024, own=2048)
    monkeypatch.setattr(engine, "api", made.api)
    monkeypatch.setattr(engine, "of_release", made.listed)
    monkeypatch.setattr(engine, "containers", made.listed)
    monkeypatch.setattr(weight, "_weight", lambda _: None)
    return made


def begin(played: Engine, *_: Any, **__: Any) -> None:
    for container in played.listed():
        weight.lower(container)


def test_what_starts_has_little_and_what_its_stack_says_stays(played: Engine) -> None:
    begin(played)
    assert played.shares() == {"plain": weight.STARTING, "again": weight.STARTING, "own": 2048}
    weight.usual(played.listed())
    assert played.shares() == {"plain": 1024, "again": 1024, "own": 2048}


@pytest.mark.parametrize("ended", [{"Running": False}, {"StartedAt": "later"}])
def test_one_that_has_ended_meanwhile_is_told_by_who_waits_for_it(played: Engine, ended: dict[str, Any]) -> None:
    begin(played)
    played.refuses = True
    with pytest.raises(OperationFailed):
        weight.usual(played.listed())
    played.now = {**played.now, **ended}
    weight.usual(played.listed())


def test_an_engine_that_cannot_do_it_starts_containers_as_ever(played: Engine) -> None:
    played.refuses = True
    begin(played)
    assert played.shares()["plain"] == 0


@pytest.mark.parametrize(("made", "shares"), [("100", 1024), ("39", 2598)], ids=["newer runc", "older runc"])
def test_on_cgroup_v2_it_is_the_weight_that_counts(
    made: str, shares: int, played: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    (tmp_path / "cpu.weight").write_text(made)
    monkeypatch.setattr(weight, "_CGROUP", tmp_path)
    monkeypatch.setattr(weight, "_group", lambda _: "/")
    monkeypatch.setattr(engine, "api", played.api)
    begin(played)
    weight.usual(played.listed())
    assert played.shares()["plain"] == shares


@pytest.fixture
def up(played: Engine, monkeypatch: pytest.MonkeyPatch, home: StackHome) -> Any:
    monkeypatch.setattr(start, "bring_up", lambda *_, **__: begin(played))

    def run(passes: Any, within: float = 60.0) -> Any:
        monkeypatch.setattr(gate, "await_healthy", passes)

        return releases._up(SimpleNamespace(progress=None), home, "new", [{"name": "web", "start_within": within}])  # type: ignore[arg-type]

    return run


def test_the_gate_is_passed_with_little_and_traffic_met_with_the_usual(played: Engine, up: Any) -> None:
    seen = []
    up(lambda look, *_: (look(), seen.append(played.shares()["plain"])))
    assert seen == [weight.STARTING]
    assert weight.STARTING not in played.shares().values()


def test_what_takes_long_to_start_gets_the_usual_before_its_time_is_over(played: Engine, up: Any) -> None:
    seen = []
    up(lambda look, *_: (look(), seen.append(played.shares()["plain"])), within=0.0)
    assert seen == [1024]


def test_what_a_killed_run_left_starting_gets_the_usual_before_it_goes_live(
    played: Engine, home: StackHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(played)
    at_switch = []
    monkeypatch.setattr(router, "apply", lambda _: at_switch.append(played.shares()["plain"]))
    monkeypatch.setattr(operations.reap, "note_what_lost_its_traffic", lambda _: None)

    wanted = {"releases": [{"id": "new", "weights": {"web": 100}}]}
    operations._apply(SimpleNamespace(fences={}), home, wanted, "new")  # type: ignore[arg-type]
    assert at_switch == [1024]
