"""A job of a workflow, played on this machine: its tasks run as they stand there, with its variables, and leave outputs.

Actions that are used (a checkout, a cache, a cloud's login) are left out; what of GitHub's expressions the workflows use is known.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import Checkout, clean_environment

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.S)
_WORD = re.compile(r"'[^']*'|[A-Za-z_][\w.-]*|\|\||&&")


@dataclass(frozen=True)
class Played:
    """What a job left: the outputs of its steps by id, what was said, and the run's page."""

    outputs: dict[str, dict[str, str]]
    log: str
    page: str


def fill(text: str, contexts: Mapping[str, Any]) -> str:
    """Return a text with its expressions' values put in; what a context does not have is ""."""
    return _EXPRESSION.sub(lambda found: str(_value(found[1], contexts)), text)


def _value(expression: str, contexts: Mapping[str, Any]) -> Any:
    def word(found: re.Match[str]) -> str:
        text = found[0]
        if text.startswith("'"):
            return text
        return {"||": " or ", "&&": " and "}.get(text, f"get({text!r})")

    def get(name: str) -> Any:
        value: Any = contexts
        for part in name.split("."):
            value = value.get(part, "") if isinstance(value, Mapping) else ""
        return value

    return eval(
        _WORD.sub(word, expression.strip()), {"__builtins__": {}, "get": get}
    )  # our own workflows, and no others


def outputs(file: Path) -> dict[str, str]:
    """Return the outputs in a file, as a runner reads it."""
    found, lines = {}, iter(file.read_text().splitlines() if file.exists() else [])
    for line in lines:
        name, _, end = line.partition("<<")
        value = []
        while (following := next(lines)) != end:
            value.append(following)
        found[name] = "\n".join(value)
    return found


def play(checkout: Checkout, workflow: str, job: str, folder: Path, **contexts: Any) -> Played:
    """Run the tasks of a job in a checkout. Fail where one of them fails.

    Args:
        checkout: whose tasks, and whose workflow.
        workflow: its file's name without ending.
        job: its name.
        folder: for the files that a runner gives a step.
        contexts: `inputs`, `secrets`, `vars`, `github`, `needs` as far as the job uses them.
    """
    document = yaml.load(checkout.read(f".github/workflows/{workflow}.yml"), yaml.BaseLoader)
    log, left, page = "", {}, folder / "page.md"
    for number, step in enumerate(document["jobs"][job]["steps"]):
        if "run" not in step:
            continue
        known = {**contexts, "steps": {name: {"outputs": values} for name, values in left.items()}}
        file = folder / f"output-{number}"
        runner = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_OUTPUT": str(file), "GITHUB_STEP_SUMMARY": str(page)}
        given = {name: fill(value, known) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].replace("./inv ", ".venv/bin/inv ")],
            cwd=checkout.path, env={**clean_environment(), **checkout.env, **runner, **given},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        log += done.stdout + done.stderr
        assert done.returncode == 0, f"{step['run']} exited {done.returncode}\n{log}"
        left[step.get("id", "")] = outputs(file)
    return Played(left, log, page.read_text() if page.exists() else "")
