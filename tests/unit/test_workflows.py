"""The workflows hold to the rules of a safe pipeline, and call tasks that exist with flags that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.exceptions import ParseError

from tests.support import commands

WORKFLOWS = sorted((commands.ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
COMMENTED = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+(\.\d+)*$")

pytestmark = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    # BaseLoader leaves every scalar a text: YAML 1.1 would take the key `on` for true.
    document: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)
    return document


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in load(path)["jobs"].values():
        yield from job["steps"]


def test_a_job_may_do_what_it_says_and_nothing_else(path: Path) -> None:
    document = load(path)
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert job["permissions"], name
        assert "write" not in job["permissions"].values(), name


def test_no_job_runs_for_ever_or_twice_at_once(path: Path) -> None:
    document = load(path)
    assert "${{ github.ref }}" in document["concurrency"]["group"]
    for name, job in document["jobs"].items():
        assert 0 < int(job["timeout-minutes"]) <= 60, name
        assert "latest" not in job["runs-on"], name


def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [name for name in used if not PINNED.fullmatch(name)] == []
    lines = [line.strip() for line in path.read_text().splitlines() if "uses:" in line]
    assert [line for line in lines if not COMMENTED.search(line)] == []


def test_the_token_does_not_stay_in_the_checkout(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert [step for step in checkouts if step["with"]["persist-credentials"] != "false"] == []


def test_what_others_can_write_never_becomes_a_command(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


def test_the_environment_is_kept_by_its_lock_file(path: Path) -> None:
    caches = [step["with"] for step in steps(path) if step.get("uses", "").startswith("actions/cache@")]
    assert caches
    assert [cache for cache in caches if cache["path"] != ".venv" or "'requirements.lock'" not in cache["key"]] == []


def test_tasks_are_called_as_they_are(path: Path) -> None:
    found = [words for step in steps(path) for words in commands.calls(step.get("run", ""))]
    assert found
    for words in found:
        try:
            assert commands.parse(words)
        except ParseError as error:
            pytest.fail(f"inv {' '.join(words)}: {error}")
