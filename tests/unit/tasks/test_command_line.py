"""What a person meets first: every task has a parser and a help text that reads well, and starting costs little."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from invoke import Collection, Context, ParseError, Program, Task
from invoke.parser import Parser

from slipway.settings.load import root

HEAVY = ("pydantic", "yaml", "docker", "fabric", "paramiko", "ansible", "rich", "requests", "testinfra", "apprise")


def namespace() -> Collection:
    """Return the tasks, imported anew: Invoke takes the help texts out of a task when it makes its parser."""
    for module in [m for m in sys.modules if m == "tasks" or m.startswith("slipway.tasks")]:
        del sys.modules[module]
    sys.path.insert(0, str(root()))
    try:
        from tasks import namespace as found
    finally:
        sys.path.remove(str(root()))
    return found


def commands(collection: Collection, prefix: str = "") -> dict[str, Task]:
    found = {prefix + name: task for name, task in collection.tasks.items()}
    for name, inner in collection.collections.items():
        found |= commands(inner, f"{prefix}{name}.")
    return found


def defaults(collection: Collection) -> dict[str, str]:
    """Return the verbs that have a group: `migrate` is what the list calls `migrate.run`."""
    return {name: f"{name}.{inner.default}" for name, inner in collection.collections.items() if inner.default}


TASKS = {name: (task, task.get_arguments()) for name, task in commands(namespace()).items()}
"""Every task with its arguments; that takes their help texts out of it."""
NAMES = sorted(TASKS)
DEFAULTS = defaults(namespace())


def said(*argv: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        Program(namespace=namespace(), name="inv").run(["inv", *argv], exit=False)
    return out.getvalue()


def test_every_verb_of_the_design_is_there() -> None:
    fixed = (
        "deploy", "rollback", "migrate", "status", "build", "push", "provision", "verify", "test", "lint", "bench", "lab.up",
        "lab.down", "lock.show", "lock.acquire", "lock.release", "release.list", "secrets.init", "secrets.edit",
        "accessory.apply",
    )  # fmt: skip
    assert set(fixed) <= set(namespace().task_names) | DEFAULTS.keys()


def test_all_parsers_together() -> None:
    """A `help=` key that names no parameter, or two flags of one letter, break here."""
    contexts = namespace().to_contexts()
    parser = Parser(contexts=contexts)
    assert len(parser.contexts) >= len(NAMES)


def test_help_behind_a_verb_that_has_to_be_given_a_name() -> None:
    migrations = root() / "compose/fineasy/api/migrations/versions"
    before = sorted(migrations.iterdir())
    inv = Path(sys.executable).parent / "inv"
    done = subprocess.run([inv, "migrate.new", "--help"], cwd=root(), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    assert sorted(migrations.iterdir()) == before


def test_help_behind_any_other_verb() -> None:
    """Invoke takes for a word that has to be given whatever comes first, `--help` too: none has to be."""
    assert {name for name, (_, arguments) in TASKS.items() if any(a.positional for a in arguments)} == {"migrate.new"}


@pytest.mark.parametrize("name", NAMES)
def test_help(name: str) -> None:
    text = said("--help", name)
    assert f"inv [--core-opts] {name}" in text
    assert "Docstring:\n  none" not in text
    task, arguments = TASKS[name]
    first = (task.__doc__ or "").strip().splitlines()[0]
    assert first in text
    assert first.endswith("."), "a sentence"
    for argument in arguments:
        assert argument.help, f"--{argument.name} is not described"
        assert len(argument.help) < 120


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_is_chosen_the_same_way(name: str) -> None:
    arguments = {a.name for a in TASKS[name][1]}
    if name not in ("test", "lint", "scan", "bump", "bench"):
        assert "env" in arguments


@pytest.mark.parametrize("name", ["deploy", "rollback", "migrate", "provision", "accessory.apply"])
def test_what_changes_hosts_can_be_planned(name: str) -> None:
    assert "plan" in {a.name for a in TASKS[DEFAULTS.get(name, name)][1]}


def called(*argv: str) -> list[tuple[str, dict[str, object]]]:
    """Return the tasks that a command line runs, with what they are given."""
    program = Program(namespace=namespace(), name="inv")
    program.create_config()
    program.parse_core(["inv", *argv])
    program.parse_collection()
    program.parse_tasks()
    return [(task.name, {k: v for k, v in task.as_kwargs.items() if v}) for task in program.tasks]


def test_a_benchmark_is_a_bare_word_that_may_be_left_out() -> None:
    assert called("bench") == [("bench", {})]
    assert called("bench", "deploy", "--long", "lint") == [("bench", {"deploy": True, "long": True}), ("lint", {})]
    with pytest.raises(ParseError, match="No idea what 'nonsense' is"):
        called("bench", "nonsense")
    assert re.search(r"^  deploy  ", said("--help", "bench"), re.M), "the help names them"


def test_a_benchmark_is_run_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[object, ...]] = []
    monkeypatch.setattr("slipway.quality.bench", lambda what, flags: ran.append((what, flags)) or 0)
    bench = namespace()["bench"]
    bench.words = {**bench.words, "faults": "another"}
    bench(Context(), long=True, deploy=False, faults=False)
    bench(Context(), cold=True, deploy=False, faults=True)
    assert ran == [("deploy", ["--long"]), ("faults", ["--cold"])]


def test_the_list_is_short_sentences() -> None:
    text = said("--list")
    for name in NAMES:
        assert f"  {name} " in text, name
    for line in text.splitlines():
        assert len(line) < 140


def test_starting_imports_nothing_heavy() -> None:
    code = (
        "import invoke, sys; before = set(sys.modules); import tasks; "
        f"print([m for m in {HEAVY!r} if m in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
