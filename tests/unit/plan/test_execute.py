"""The executor: phases in order, and what happens when one fails before or after the switch."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from slipway import report
from slipway.errors import BadInput, NeedsPerson, RolledBack, SlipwayError
from slipway.plan.executor import execute
from slipway.plan.operation import Operation, Phase, Plan


class Host:
    """Does what it is told and remembers it; fails at the operations in `fails`."""

    def __init__(self, **fails: Exception) -> None:
        self.done: list[str] = []
        self.fails = fails
        self.fences: set[int | None] = set()

    def perform(
        self, stack: str, operations: Sequence[Operation], *, fence: int | None, progress: Callable[[str], None]
    ) -> list[dict[str, Any]]:
        self.fences.add(fence)
        for operation in operations:
            progress(operation.says)
            if operation.kind in self.fails:
                raise self.fails[operation.kind]
            self.done.append(operation.kind)
        return [{"kind": o.kind} for o in operations]

    def close(self) -> None:
        self.fails["lost"] = SlipwayError("it was closed")

    def receives(self, plan_: Plan) -> set[str] | None:
        if "lost" in self.fails:
            return None
        told = [kind for kind in self.done if kind in ("switch", "back")]
        serves = plan_.release if told[-1:] == ["switch"] else plan_.before
        return {serves} if serves else set()


def phase(title: str, *kinds: str, switched: bool = False, hosts: Sequence[str] = ("app1",)) -> Phase:
    return Phase(title, {h: tuple(Operation(k, k) for k in kinds) for h in hosts}, switched=switched)


def plan(before: str | None = "old", revert: bool = True, hosts: Sequence[str] = ("app1",)) -> Plan:
    phases = (
        phase("Prepare", "pull", hosts=hosts), phase("Start", "up", hosts=hosts),
        phase("Switch", "switch", switched=True, hosts=hosts), phase("Smoke", "smoke", switched=True, hosts=hosts),
        Phase("Verify", verify="deploy", switched=True),
    )  # fmt: skip
    undo = (phase("Undo", "remove", hosts=hosts),)
    back = (phase("Back", "back", switched=True, hosts=hosts),) if revert else ()
    return Plan("deploy", "here", "probe", "new", before, (), phases, undo, back)


def run(plan_: Plan, hosts: dict[str, Host], verify: Callable[[str], None] = lambda _: None) -> Any:
    """Execute a plan on hosts whose routers send requests to what they were told last."""

    def receiving() -> dict[str, set[str] | None]:
        return {name: host.receives(plan_) for name, host in hosts.items()}

    return execute(plan_, hosts, 1, verify, receiving)


def test_all_goes_well() -> None:
    host, seen = Host(), list[str]()
    results = execute(plan(), {"app1": host}, 5, seen.append)
    assert host.done == ["pull", "up", "switch", "smoke"]
    assert seen == ["deploy"]
    assert host.fences == {5}
    assert results["Start"]["app1"] == [{"kind": "up"}]


def test_hosts_count_as_touched_from_the_first_phase_on() -> None:
    """An unforeseen error before that is exit code 1, after it 5."""
    report.use(io.StringIO())
    seen: list[bool] = []

    class Looking(Host):
        def perform(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
            seen.append(report.current().touched)
            return super().perform(*args, **options)

    assert not report.current().touched
    execute(plan(), {"app1": Looking()}, 1)
    assert seen == [True] * 4
    report.use(io.StringIO())


def test_before_the_switch_it_is_undone() -> None:
    host = Host(up=SlipwayError("web dies at start", where="app1, web", seen="exit code 3"))
    with pytest.raises(SlipwayError) as caught:
        run(plan(), {"app1": host})
    assert host.done == ["pull", "remove"]
    assert caught.value.exit_code == 1
    assert (caught.value.where, caught.value.seen) == ("app1, web", "exit code 3")
    assert caught.value.serves == "release old"


def test_a_first_release_leaves_nothing_serving() -> None:
    with pytest.raises(SlipwayError) as caught:
        run(plan(before=None, revert=False), {"app1": Host(up=SlipwayError("no"))})
    assert "nothing" in caught.value.serves
    assert caught.value.exit_code == 1


def test_bad_input_that_a_host_finds_is_2() -> None:
    with pytest.raises(BadInput) as caught:
        run(plan(), {"app1": Host(pull=BadInput("compose refuses the file"))})
    assert caught.value.exit_code == 2
    error = SlipwayError("compose refuses the file")
    error.bad_input = True  # type: ignore[attr-defined]  # as the session sets it on what the agent says
    with pytest.raises(SlipwayError) as caught_too:
        run(plan(), {"app1": Host(pull=error)})
    assert caught_too.value.exit_code == 2


def test_a_router_that_refuses_has_switched_nothing() -> None:
    host = Host(switch=SlipwayError("HAProxy refused the new configuration"))
    with pytest.raises(SlipwayError) as caught:
        run(plan(), {"app1": host})
    assert host.done == ["pull", "up", "remove"]
    assert caught.value.exit_code == 1
    assert caught.value.serves == "release old"


def test_a_host_that_does_not_tell_after_the_switch() -> None:
    hosts = {"app1": Host(), "app2": Host(smoke=SlipwayError("the connection was lost"), lost=SlipwayError("gone"))}
    with pytest.raises(NeedsPerson) as caught:
        run(plan(hosts=tuple(hosts)), hosts)
    assert "back" not in hosts["app1"].done, "one host alone must not go back"
    assert caught.value.serves == "app1: new, app2 does not answer"


def test_after_the_switch_it_goes_back() -> None:
    host = Host(smoke=SlipwayError("smoke test failed", seen="500"))
    with pytest.raises(RolledBack) as caught:
        run(plan(), {"app1": host})
    assert host.done[-1] == "back"
    assert "remove" not in host.done
    assert caught.value.exit_code == 4
    assert caught.value.serves == "release old"
    assert caught.value.seen == "500"


def test_a_verification_that_fails_goes_back() -> None:
    def verify(step: str) -> None:
        raise SlipwayError(f"3 checks of the suite {step} failed")

    host = Host()
    with pytest.raises(RolledBack, match="3 checks of the suite deploy failed"):
        run(plan(), {"app1": host}, verify)
    assert host.done[-1] == "back"


def test_after_the_switch_with_nothing_to_go_back_to() -> None:
    with pytest.raises(NeedsPerson, match="no earlier release to go back to") as caught:
        run(plan(before=None, revert=False), {"app1": Host(smoke=SlipwayError("500"))})
    assert caught.value.exit_code == 5
    assert "inv status --env here" in caught.value.todo


def test_going_back_fails_too() -> None:
    host = Host(smoke=SlipwayError("500"), back=SlipwayError("the router does not answer"))
    with pytest.raises(NeedsPerson, match="going back to old failed as well") as caught:
        run(plan(), {"app1": host})
    assert "the router does not answer" in str(caught.value)


def test_undoing_fails_too() -> None:
    host = Host(up=SlipwayError("web dies at start"), remove=SlipwayError("the engine does not answer"))
    with pytest.raises(SlipwayError, match="web dies at start") as caught:
        run(plan(), {"app1": host})
    assert caught.value.exit_code == 1
    assert "the engine does not answer" in caught.value.seen


def test_one_of_two_hosts_fails_and_both_are_undone() -> None:
    good, bad = Host(), Host(up=SlipwayError("no memory", where="app2"))
    with pytest.raises(SlipwayError, match="app2: no memory"):
        run(plan(hosts=("app1", "app2")), {"app1": good, "app2": bad})
    assert good.done == ["pull", "up", "remove"]
    assert bad.done == ["pull", "remove"]


def test_a_host_that_cannot_go_back_is_told() -> None:
    """It has no record of the earlier release: exit 4 would say that all is as before."""
    hosts = {"app1": Host(smoke=SlipwayError("500")), "app2": Host()}
    both = plan(hosts=tuple(hosts))
    one_way = replace(both, revert=(phase("Back", "back", switched=True),))
    with pytest.raises(NeedsPerson, match="not every host could go back to old") as caught:
        run(one_way, hosts)
    assert caught.value.serves == "app1: old, app2: new"


def test_what_has_no_second_beside_it_is_felt() -> None:
    phases = (replace(phase("Apply accessories", "apply"), felt=True),)
    only = Plan("accessory.apply", "here", "probe", "old", "old", (), phases)
    with pytest.raises(NeedsPerson, match="may fail until that is mended"):
        run(only, {"app1": Host(apply=SlipwayError("store was not healthy"))})


def test_hosts_work_side_by_side() -> None:
    """Each waits for the other inside the phase: one after the other, they would wait for ever."""
    both = threading.Barrier(2, timeout=10)

    class Waiting(Host):
        def perform(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
            both.wait()
            return super().perform(*args, **options)

    one, two = Waiting(), Waiting()
    run(plan(hosts=("app1", "app2")), {"app1": one, "app2": two})
    assert one.done == two.done == ["pull", "up", "switch", "smoke"]
