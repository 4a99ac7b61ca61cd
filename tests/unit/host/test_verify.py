"""Results of suites as values, and the facts they are given."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

from slipway.host.verify import Finding, Suite, VerifyResult, _outcome, complete, merge
from slipway.settings.model import Environment, Host, StackEntry

ROOT = Path(__file__).parents[3]
ENV = Environment(
    name="staging",
    hosts=(Host(name="app1", address="192.0.2.1"), Host(name="app2", address="192.0.2.2", user="ship")),
    stacks=(StackEntry(name="shop"),),
)


def test_results_of_hosts_are_one() -> None:
    found = {
        "app1": {"passed": 3, "failures": [], "skipped": [["clock_is_kept", "a container"]]},
        "app2": {"passed": 2, "failures": [["replicas_run[api]", "1 of 2 run"]], "skipped": []},
    }
    result = merge(found, 1.5)
    assert (result.passed, result.failed, result.seconds) == (5, 1, 1.5)
    assert result.failures == (Finding("app2", "replicas_run[api]", "1 of 2 run"),)
    assert result.skipped == (Finding("app1", "clock_is_kept", "a container"),)
    assert _outcome(result) == "5 checks passed, 1 failed; left out: clock is kept (a container)"
    assert _outcome(VerifyResult(2)) == "2 checks passed"
    assert result.text() == "app2: replicas run[api]: 1 of 2 run"


def test_facts_are_completed_from_the_environment() -> None:
    facts = complete(ENV, {"release": "r1", "hosts": {"app1": {"extra": 1}}})
    assert facts["hosts"]["app1"] == {
        "address": "192.0.2.1",
        "port": 22,
        "user": "deploy",
        "admin": "admin",
        "extra": 1,
    }
    assert facts["hosts"]["app2"]["user"] == "ship"
    assert (facts["env"], facts["release"]) == ("staging", "r1")
    assert facts["provision"]["front_ports"] == [80]


def test_given_facts_win() -> None:
    assert complete(ENV, {"provision": {"front_ports": [81]}})["provision"] == {"front_ports": [81]}


def test_every_step_has_a_suite() -> None:
    for step in get_args(Suite):
        assert list((ROOT / "tests/verify" / step).glob("test_*.py")), step


def test_what_runs_on_hosts_needs_their_own_python_only() -> None:
    stdlib = __import__("sys").stdlib_module_names
    for path in (ROOT / "tests/verify/remote").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(name.split(".")[0] in stdlib for name in names), (path, names)
