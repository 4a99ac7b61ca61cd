"""The one wrapper around every task: errors become a paragraph and the exit codes of the design."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from invoke import Config, Context, Exit

from slipway import report
from slipway.errors import BadInput, LeaseHeld, NeedsPerson, RolledBack, SlipwayError
from slipway.settings import redact
from slipway.settings.load import root
from slipway.tasks import agreed, document, environment, out, task


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give each test a reporter of its own, as each command has one, and the command line `inv deploy --env here`."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/inv", "deploy", "--env", "here"])
    stream = io.StringIO()
    report.use(stream)
    yield stream
    report.use(io.StringIO())


def run(body: Callable[[], object], env: str = "here") -> int:
    """Run a task and return its exit code."""

    @task("env")
    def one(c: Context, env: str = "") -> object:
        return body()

    try:
        one(Context(), env=env)
    except Exit as end:
        return int(end.code)
    return 0


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


def test_sigterm_ends_a_task_with_a_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    before = signal.getsignal(signal.SIGTERM)
    assert run(body) == 1
    said = capsys.readouterr().err
    assert said.startswith("interrupted. Next: ")
    assert "`inv deploy --env here` again" in said
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SlipwayError("x"), 1), (BadInput("x"), 2), (LeaseHeld("x"), 3), (RolledBack("x"), 4), (NeedsPerson("x"), 5),
        (KeyboardInterrupt(), 1), (Exit(code=7), 7),
    ],
)  # fmt: skip
def test_codes(error: BaseException, code: int) -> None:
    assert run(raising(error)) == code


def test_an_unforeseen_error_is_1_before_hosts_were_touched_and_5_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ZeroDivisionError("division by zero"))) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in told
    assert "`inv --debug deploy --env here`" in told
    assert "Traceback" not in told
    report.current().touched = True
    assert run(raising(ZeroDivisionError())) == 5
    assert "`inv status --env here`" in capsys.readouterr().err
    assert run(raising(KeyboardInterrupt())) == 5


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SlipwayError("x"), "mend that, then `inv deploy --env here` again"),
        (BadInput("x"), "correct that, then `inv deploy --env here` again"),
        (LeaseHeld("x"), "`inv lock.show --env here`"), (RolledBack("x"), "`inv status --env here`"),
        (NeedsPerson("x"), "`inv status --env here`"), (KeyboardInterrupt(), "`inv deploy --env here` again"),
    ],
)  # fmt: skip
def test_every_error_says_what_to_type_next(
    error: BaseException, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(raising(error))
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert words in last.partition("Next: ")[2]


def test_what_an_error_says_itself_stands(capsys: pytest.CaptureFixture[str]) -> None:
    run(raising(NeedsPerson("x", todo="call anna")))
    assert capsys.readouterr().err == "x. Next: call anna.\n"


@pytest.mark.parametrize("flags", [["--debug"], []])
def test_debug_shows_the_traceback_of_a_foreseeable_error(flags: list[str]) -> None:
    argv = [sys.executable, "-m", "invoke", *flags, "status", "--env", "nosuch"]
    done = subprocess.run(argv, cwd=root(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no environment 'nosuch'" in done.stderr
    assert ("Traceback (most recent call last)" in done.stderr) == bool(flags)
    assert ("in _environment_file" in done.stderr) == bool(flags), "where it was raised"
    assert done.stdout == ""


def test_a_finding_is_the_tasks_own_code() -> None:
    assert run(lambda: 1) == 1
    assert run(lambda: 0) == 0
    assert run(lambda: None) == 0


def test_the_paragraph(capsys: pytest.CaptureFixture[str]) -> None:
    error = SlipwayError(
        "web was not healthy within 4 s", where="app1, web", seen="GET :8000/ → 503\nlast log lines:\nboom",
        serves="release v1", todo="mend it",
    )  # fmt: skip
    run(raising(error))
    assert capsys.readouterr().err == (
        "app1, web: web was not healthy within 4 s. Still serving: release v1.\n"
        "    GET :8000/ → 503\n    last log lines:\n    boom\nNext: mend it.\n"
    )


def test_github_gets_an_annotation(
    shown: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    report.use(shown)
    run(raising(SlipwayError("it failed", seen="a\nb", todo="c")))
    assert shown.getvalue() == "::error::it failed.%0A    a%0A    b%0ANext: c.\n"
    assert capsys.readouterr().out == ""


def test_with_json_standard_output_is_the_document_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups and annotations are told on standard error, where a runner reads them as well."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    def body() -> None:
        assert document("json")
        with report.step("Build api") as step:
            step.say("pulling")
        out({"a": [1]})
        raise SlipwayError("it failed")

    assert run(body) == 1
    told = capsys.readouterr()
    assert told.out == '{\n  "a": [\n    1\n  ]\n}\n'
    assert "::group::✓ Build api" in told.err
    assert "::error::it failed." in told.err


def test_a_document_tells_no_secret_and_keeps_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    redact.hide(["hunter-two"])
    out({"hunter-two": ["the hunter-two", {"x": 1}]})
    assert capsys.readouterr().out.count("hunter-two") == 1
    redact.hide(["x-of-words"])
    out("with x-of-words")
    assert capsys.readouterr().out == f"with {redact.MASK}\n"


def test_the_page_of_a_pipelines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets each command's steps, with outcome and time, and what failed; two commands in one process don't repeat them."""
    page = tmp_path / "page.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))

    def body() -> None:
        with report.step("Build api") as step:
            step.done("31 MB | pushed")

    def broken() -> None:
        with report.step("Switch"):
            raise RolledBack("it failed", seen="a\nb", todo="c")

    assert run(body) == 0
    assert run(broken) == 4
    first, second = page.read_text().split("### ")[1:]
    assert first.startswith("inv deploy --env here: done\n\n| step | outcome | time |\n| --- | --- | --- |\n")
    assert "| ✓ Build api | 31 MB \\| pushed | 0.0 s |" in first
    assert second.startswith("inv deploy --env here: exit code 4\n")
    assert "| ✗ Switch |" in second
    assert "Build api" not in second
    assert "```text\nit failed.\n    a\n    b\nNext: c.\n```" in second


def test_which_environment_is_meant() -> None:
    context = Context(Config(overrides={"env": "staging"}))
    assert environment(context, "") == "staging"
    assert environment(context, "production") == "production"


def test_who_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert [agreed(True), agreed(False)] == [True, False]
    monkeypatch.setenv("CI", "true")
    assert agreed(False)


def test_an_unknown_format() -> None:
    with pytest.raises(BadInput, match="--format yaml is unknown"):
        document("yaml")
