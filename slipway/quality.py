"""Checks of this repository itself: tests, linters, benchmarks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway import checkpackages, report
from slipway.process import Completed, run
from slipway.settings.load import root

_PROCESSES = 4
"""Most processes that tests run in, however many processors there are: each has labs of its own."""


_PLACE = re.compile(r"\s*(?:-->\s+)?(?P<file>[\w./-]+):(?P<line>\d+)(?::\d+)*:?\s*(?P<words>.*)")
"""`file:line:column: words` as most linters write it, `--> file:line:column` below the words as ruff and zizmor do."""


def test(*, fast: bool, only: str, yes: bool, cluster: bool = False) -> int:
    """Run pytest: unit tests; unless `fast` manifests, hosts in labs, a cluster if one is given. Return its exit code.

    Args:
        fast: only what needs no container engine.
        only: an expression for pytest's -k ("": all).
        yes: agree to installing a container engine.
        cluster: only what needs a cluster, on the one that is given (docs/kubernetes.md).
    """
    checkpackages.ensure()
    folders = ["tests/kube"] if cluster else ["tests/unit"]
    if not (fast or cluster):
        from slipway.lab import engine

        engine.ensure(yes)
        folders += ["tests/manifests", "tests/lab", "tests/kube"]
    # One more than there are processors, since tests of labs wait for a fifth of their time. tests/conftest.py: what goes together.
    count = "auto" if fast else str((os.cpu_count() or 1) + 1)
    processes = ["-n", count, "--maxprocesses", str(_PROCESSES)]
    argv = [sys.executable, "-m", "pytest", *folders, *processes, *(["-k", only] if only else [])]
    # pytest writes to the terminal itself: its closing line is the last one.
    return subprocess.call(argv, cwd=root(), env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})


def _tracked(*patterns: str) -> list[str]:
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns], cwd=root()).out
    return [name for name in listed.splitlines() if (root() / name).is_file()]


def _shell_scripts() -> list[str]:
    def is_shell(name: str) -> bool:
        with (root() / name).open("rb") as file:
            first = file.readline(100)
        return first.startswith(b"#!") and (b"/sh" in first or b"bash" in first)

    return [name for name in _tracked() if not name.endswith((".py", ".j2")) and is_shell(name)]


def linters() -> dict[str, Sequence[str]]:
    """Return the linters' commands by name."""
    venv = Path(sys.executable).parent
    yaml = _tracked("*.yml", "*.yaml")
    return {
        "ruff": [f"{venv}/ruff", "check", "."],
        "ruff format": [f"{venv}/ruff", "format", "--check", "."],
        "mypy": [f"{venv}/mypy"],
        "yamllint": [f"{venv}/yamllint", "--strict", "--format", "parsable", *yaml],
        "ansible-lint": [f"{venv}/ansible-lint", "--offline", "--strict", "-q", "ansible"],
        "shellcheck": [f"{venv}/shellcheck", *_shell_scripts()],
        "hadolint": [f"{venv}/hadolint", *_tracked("*Dockerfile")],
        "actionlint": [f"{venv}/actionlint", *_tracked(".github/workflows/*.yml")],
        "zizmor": [f"{venv}/zizmor", "--offline", "--no-progress", "--quiet", ".github"],
        "migrations": [sys.executable, "-m", "slipway.data.lint"],
    }


def lint() -> int:
    """Run all linters side by side; print what they find. Return 0 where they find nothing, else 1."""

    def one(name: str, argv: Sequence[str]) -> Completed:
        with report.step(name) as step:
            environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": ""}
            done = run(argv, cwd=root(), check=False, env=environment)
            step.done("clean" if done.code == 0 else "findings")
        return done

    checkpackages.ensure()
    found = linters()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, found, found.values()))
    for done in results:
        if done.code != 0:
            said = (done.out + done.err).strip()
            report.say(said)
            for file, line, words in places(said):
                report.annotate(words, file=file, line=line)
    return int(any(done.code for done in results))


def places(said: str) -> Iterator[tuple[str, int, str]]:
    """Yield the lines of this checkout's files that a linter names, and what it says there: behind the place, or before it."""
    before = ""
    for line in said.splitlines():
        found = _PLACE.fullmatch(line)
        if found and (root() / found["file"]).is_file():
            yield found["file"].removeprefix("./"), int(found["line"]), found["words"] or before
        before = line.strip()


def bench(what: str, flags: Sequence[str] = ()) -> int:
    """Run a benchmark, tests/bench/bench_<what>.py. Return its exit code.

    Args:
        what: which.
        flags: its own flags; each benchmark's `--help` tells them.
    """
    return subprocess.call([sys.executable, "-m", f"tests.bench.bench_{what}", *flags], cwd=root())
