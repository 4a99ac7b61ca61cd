"""Plans as people read them."""

from __future__ import annotations

from slipway.plan.operation import Change, Operation, Phase, Plan


def test_a_plan_in_words() -> None:
    phases = (
        Phase("Prepare hosts", {"app1": (Operation("a", "pull 2 images"), Operation("b", "write release"))}),
        Phase("Verify"),
    )
    changes = (Change("", "image", "web: a → b"), Change("app1", "settings", "of the release\n-old\n+new"))
    plan = Plan("deploy", "local", "probe", "v2", None, changes, phases)
    assert plan.lines() == [
        "Plan: deploy probe to local: nothing → v2", "", "Changes", "  image: web: a → b", "  settings on app1: of the release",
        "    -old", "    +new", "", "Steps", "  1. Prepare hosts", "     app1: pull 2 images; write release", "  2. Verify",
    ]  # fmt: skip


def test_no_change_is_said() -> None:
    assert "  none" in Plan("deploy", "local", "probe", "v2", "v1", (), ()).lines()


def test_parameters_are_sent_and_not_shown() -> None:
    operation = Operation("secrets", "write secrets", {"value": "geheim"})
    assert operation.message() == {"kind": "secrets", "value": "geheim"}
    assert "geheim" not in repr(operation)
