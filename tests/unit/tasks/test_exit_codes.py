"""The one wrapper around every task: errors become a paragraph and the exit codes of the design."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from invoke import Config, Context, Exit

from slipway import report
from slipway.errors import BadInput, LeaseHeld, NeedsPerson, RolledBack, SlipwayError
from slipway.tasks import agreed, document, environment, task


def run(body: Callable[[], object]) -> int:
    """Run a task and return its exit code."""

    @task()
    def one(c: Context) -> object:
        return body()

    try:
        one(Context())
    except Exit as end:
        return int(end.code)
    return 0


def raising(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


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
    report.use(io.StringIO())
    assert run(raising(ZeroDivisionError("division by zero"))) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in told
    assert "Traceback" not in told
    report.current().touched = True
    assert run(raising(ZeroDivisionError())) == 5
    report.use(io.StringIO())


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    report.use(shown)
    assert run(raising(SlipwayError("x"))) == 1
    assert "Traceback" not in shown.getvalue()
    monkeypatch.setenv("INVOKE_DEBUG", "1")
    assert run(raising(SlipwayError("x"))) == 1
    assert "Traceback" in shown.getvalue()
    report.use(io.StringIO())


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
        "app1, web: web was not healthy within 4 s. Still serving: release v1. Next: mend it.\n"
        "    GET :8000/ → 503\n    last log lines:\n    boom\n"
    )


def test_github_gets_an_annotation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    report.use(io.StringIO())
    run(raising(SlipwayError("it failed", seen="a\nb")))
    assert "::error::it failed.%0A    a%0A    b" in capsys.readouterr().out
    monkeypatch.delenv("GITHUB_ACTIONS")
    report.use(io.StringIO())


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
