"""The workflows hold to the rules of a safe pipeline, and call tasks that exist with flags that exist, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from invoke.exceptions import ParseError

from slipway.actions import OUTPUTS
from tests.support import commands

FOLDER = commands.ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
COMMENTED = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+(\.\d+)*$")
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.S)
OF_ACTIONS = {"google-github-actions/auth": {"access_token"}}
"""Outputs of actions that are used, as their action.yml names them."""
MAY_WRITE = {
    ("build", "images"): {"packages", "id-token"}, ("build", "staging"): {"id-token"}, ("deploy", "deploy"): {"id-token"},
    ("production", "production"): {"id-token"},
}  # fmt: skip
"""What jobs may write besides reading: packages, and the token that says to a cloud who they are."""

each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[str, Any]:
    # BaseLoader leaves every scalar a text: YAML 1.1 would take the key `on` for true.
    document: dict[str, Any] = yaml.load(path.read_text(), getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    return document


def jobs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the jobs that have steps of their own."""
    for name, job in load(path)["jobs"].items():
        if "steps" in job:
            yield name, job


def calls(path: Path) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """Yield the jobs that are another workflow's, with its file."""
    for name, job in load(path)["jobs"].items():
        if "uses" in job:
            yield name, job, commands.ROOT / job["uses"]


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for _, job in jobs(path):
        yield from job["steps"]


def used(value: Any, context: str) -> set[tuple[str, ...]]:
    """Return the names behind a context (`needs`, `inputs`) that the expressions in a value use; bare ones in `if:` as well."""
    if isinstance(value, dict):
        bare = {"expression": "${{" + value["if"] + "}}"} if isinstance(value.get("if"), str) else {}
        return set().union(*(used(item, context) for item in (*value.values(), *bare.values())))
    if isinstance(value, list):
        return set().union(*(used(item, context) for item in value))
    found = " ".join(EXPRESSION.findall(value))
    return {tuple(names.split(".")) for names in re.findall(rf"\b{context}\.([\w.-]+)", found)}


@each
def test_a_job_may_do_what_it_says_and_nothing_else(path: Path) -> None:
    document = load(path)
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert job["permissions"], name
        assert set(job["permissions"].values()) <= {"read", "write"}, name
        writes = {what for what, how in job["permissions"].items() if how == "write"}
        assert writes == MAY_WRITE.get((path.stem, name), set()), name


@each
def test_no_job_runs_for_ever_or_twice_at_once(path: Path) -> None:
    document = load(path)
    for name, job in jobs(path):
        assert 0 < int(job["timeout-minutes"]) <= 60, name
        assert "latest" not in job["runs-on"], name
        concurrency = job.get("concurrency") or document["concurrency"]
        # Only a check may be cut off: a deploy or a backup in its middle is a matter for a person.
        assert concurrency["cancel-in-progress"] == str(path.stem == "check").lower(), name


def test_one_deploy_at_a_time_in_an_environment() -> None:
    deploy = load(FOLDER / "deploy.yml")["jobs"]["deploy"]
    assert deploy["concurrency"] == {"group": "deploy-${{ inputs.environment }}", "cancel-in-progress": "false"}
    assert deploy["environment"]["name"] == "${{ inputs.environment }}"


@each
def test_actions_are_pinned_by_commit_and_say_their_version(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert [name for name in used if not PINNED.fullmatch(name)] == []
    lines = [line.strip() for line in path.read_text().splitlines() if "uses:" in line and "uses: ./" not in line]
    assert [line for line in lines if not COMMENTED.search(line)] == []


def test_an_action_is_the_same_everywhere() -> None:
    found = {line.split("uses: ")[1] for path in WORKFLOWS for line in path.read_text().splitlines() if "@" in line}
    assert len({line.partition("@")[0] for line in found}) == len(found)


@each
def test_the_token_does_not_stay_in_the_checkout(path: Path) -> None:
    for name, job in jobs(path):
        first = job["steps"][0]
        assert first["uses"].startswith("actions/checkout@"), name
        assert first["with"]["persist-credentials"] == "false", name


@each
def test_what_others_can_write_never_becomes_a_command(path: Path) -> None:
    """An expression goes through a variable, and a variable stands in quotes."""
    for step in steps(path):
        run = step.get("run", "")
        assert "${{" not in run
        assert set(re.findall(r"\$\{?(\w+)", run)) <= step.get("env", {}).keys(), run
        assert not re.search(r'(?<!")\$|\$\w+(?!["\w])', run), run


@each
def test_the_environment_is_kept_by_its_lock_files(path: Path) -> None:
    for name, job in jobs(path):
        caches = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache@")]
        assert [cache["path"] for cache in caches] == [".venv"], name
        assert "'requirements*.lock'" in caches[0]["key"], name


@each
def test_a_step_is_a_task_as_it_is_and_nothing_else(path: Path) -> None:
    for step in steps(path):
        if "uses" in step:
            continue
        (words,) = commands.calls(step["run"])
        assert step["run"].strip().startswith("./inv ")
        assert not re.search(r"[;&|<>`\n]|\$\(", step["run"].strip()), step["run"]
        try:
            assert commands.parse(words)
        except ParseError as error:
            pytest.fail(f"inv {' '.join(words)}: {error}")


@each
def test_outputs_are_those_that_tasks_leave(path: Path) -> None:
    for name, job in jobs(path):
        by_id = {step["id"]: step for step in job["steps"] if "id" in step}
        for step_id, _, output in used(job, "steps"):
            step = by_id[step_id]
            if "uses" in step:
                assert output in OF_ACTIONS[step["uses"].partition("@")[0]], name
                continue
            ((verb, *_),) = commands.calls(step["run"])
            assert output in OUTPUTS[verb], f"{name}: inv {verb} leaves no {output}"


@each
def test_jobs_wait_for_those_whose_outputs_they_use(path: Path) -> None:
    document = load(path)
    for name, job in document["jobs"].items():
        needed = {job.get("needs", "")}
        assert needed - {""} <= document["jobs"].keys()
        for other, _, output in used(job, "needs"):
            assert other in needed, name
            assert output in document["jobs"][other]["outputs"], f"{other} has no output {output}"


@each
def test_a_called_workflow_gets_what_it_asks_for(path: Path) -> None:
    for name, job, called in calls(path):
        asked = load(called)["on"]["workflow_call"] or {}
        assert job.get("with", {}).keys() == asked.get("inputs", {}).keys(), name
        assert job.get("secrets", {}).keys() == asked.get("secrets", {}).keys(), name
        granted = job["permissions"]
        for _, inner in jobs(called):
            wanted = inner["permissions"]
            assert all(granted.get(what) in (how, "write") for what, how in wanted.items()), name


@each
def test_inputs_and_secrets_are_declared(path: Path) -> None:
    document = load(path)
    asked = document["on"].get("workflow_call") if isinstance(document["on"], dict) else None
    inputs, secrets = (set((asked or {}).get(key, {})) for key in ("inputs", "secrets"))
    assert {name for (name,) in used(document, "inputs")} == inputs
    if asked:
        assert {name for (name,) in used(document, "secrets")} == secrets


@each
def test_the_page_tells_every_secret_and_variable(path: Path) -> None:
    page = (commands.ROOT / "docs/pipeline.md").read_text()
    named = {name for context in ("secrets", "vars") for (name,) in used(load(path), context)}
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_production_takes_what_staging_has_proven() -> None:
    """And staging what was built: version, images and commit go from job to job, and the deploy names them all."""
    for workflow, job in (("build", "staging"), ("production", "production")):
        given = load(FOLDER / f"{workflow}.yml")["jobs"][job]["with"]
        source = "images" if workflow == "build" else "proven"
        assert given["environment"] == job
        assert given["images"] == f"${{{{ needs.{source}.outputs.images }}}}"
        assert given["version"] == f"${{{{ needs.{source}.outputs.version }}}}"
    steps = load(FOLDER / "deploy.yml")["jobs"]["deploy"]["steps"]
    assert steps[0]["with"]["ref"] == "${{ inputs.commit }}"
    assert '--version "$VERSION" --images "$IMAGES"' in steps[-1]["run"]


def test_nothing_scheduled_waits_for_a_person() -> None:
    """Environments with reviewers are for deploys alone."""
    for path in WORKFLOWS:
        if "schedule" in load(path)["on"]:
            for name, job in jobs(path):
                assert job["environment"] == "${{ matrix.environment }}-scheduled", (path, name)
