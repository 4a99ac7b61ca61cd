"""What a person types. A task parses, calls one function and prints; errors become exit codes in one place, here."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from invoke import Context, Exit, Task
from invoke import task as invoke_task

from slipway import streams
from slipway.errors import SlipwayError

HELP = {
    "env": "environment, a file envs/<env>.yml (default: the one in invoke.yaml, or $INVOKE_ENV)",
    "stack": "stack, a folder compose/<stack> (default: the first that the environment names)",
    "plan": "show what would be done, change nothing",
    "yes": "install a container engine without asking, where one is needed and there is none",
    "format": "text, or json: one document on standard output, all else on standard error",
    "version": "version, a tag in the registry (default: this tree's git revision)",
}

_BEGUN = time.monotonic()
streams.be_patient()
gc.set_threshold(
    50_000
)  # a command lives for seconds: by default a twentieth of it is looking for garbage among its modules


def task(
    *names: str, klass: type[Task[Any]] = Task, lists: Sequence[str] = (), **more: str
) -> Callable[[Callable[..., Any]], Any]:
    """Make a function an Invoke task whose foreseeable failures are a paragraph and an exit code, never a traceback.

    Args:
        names: parameters that are described in `HELP`.
        klass: the kind of Invoke task.
        lists: parameters that may be given several times.
        more: descriptions of the others.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def body(context: Context, *args: Any, **options: Any) -> None:
            env = environment(context, options["env"]) if "env" in options else None
            try:
                with _told_of_sigterm():
                    code = function(context, *args, **options)
            except Exit:
                raise
            except (Exception, KeyboardInterrupt) as error:
                raise _failed(error, env) from error
            _summarize("done" if not code else f"exit code {code}")
            if code:
                raise Exit(code=int(code))

        return invoke_task(klass=klass, iterable=lists, help={**{n: HELP[n] for n in names}, **more})(body)

    return decorate


@contextlib.contextmanager
def _told_of_sigterm() -> Iterator[None]:
    """Let SIGTERM, which a pipeline that is cancelled sends, end a task as Ctrl-C does: with a paragraph."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failed(error: Exception | KeyboardInterrupt, env: str | None) -> Exit:
    """Tell an error, and return what ends the process with its exit code."""
    from slipway import report

    told = _paragraph_of(error, report.current().touched)
    told.todo = told.todo or what_next(told.exit_code, env)
    if _debugging():
        import traceback

        report.err("".join(traceback.format_exception(error)))
    report.failure(told.paragraph(), told.places or _place(told))
    _summarize(f"exit code {told.exit_code}", told.paragraph())
    return Exit(code=told.exit_code)


def _place(told: SlipwayError) -> list[tuple[str, int, str]]:
    """Return the line of a file of this checkout that an error is about, for a pipeline to mark; [] where there is none."""
    from slipway import actions
    from slipway.settings.load import root

    place = actions.on() and actions.place_of(told.where, root())
    return [(*place, told.paragraph())] if place else []


def _paragraph_of(error: Exception | KeyboardInterrupt, touched: bool) -> SlipwayError:
    """Return an error as what can be told; one that nobody foresaw is 1 before the first change on a host, 5 after."""
    if isinstance(error, SlipwayError):
        return error
    told = SlipwayError("interrupted")
    if isinstance(error, Exception):
        told = SlipwayError(f"unforeseen: {type(error).__name__}: {error}")
        told.todo = "" if touched or _debugging() else f"`{_command('--debug')}` shows where"
    told.exit_code = 5 if touched else 1
    return told


def what_next(code: int, env: str | None) -> str:
    """Return what to type after a failure that does not say it itself.

    Args:
        code: the exit code.
        env: the environment that was meant; None where the verb has none.
    """
    again, look = f"`{_command()}` again", f"`inv status --env {env}`"
    if code == 5 and env:
        return f"{look} says what each host serves; mend that, then {again}"
    if code == 4 and env:
        return f"mend the cause, then {again}; {look} says what serves"
    if code == 3 and env:
        return f"`inv lock.show --env {env}` says who; then {again}"
    return f"{'correct' if code == 2 else 'mend'} that, then {again}"


def _command(*flags: str) -> str:
    return shlex.join(["inv", *flags, *sys.argv[1:]])


def _debugging() -> bool:
    """Tell whether `inv --debug` or INVOKE_DEBUG was given: either makes Invoke's own log tell all."""
    return logging.getLogger("invoke").isEnabledFor(logging.DEBUG)


def _summarize(how: str, words: str = "") -> None:
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        from slipway import report

        report.current().page += [f"```text\n{words}\n```"] if words else []
        report.summarize(f"{_command()}: {how}")


def out(answer: Any) -> None:
    """Print a verb's answer: words, or a value as the one JSON document."""
    from slipway import report

    report.out(answer)


def seconds() -> float:
    """Return how long this command has been running."""
    return time.monotonic() - _BEGUN


def environment(context: Context, env: str) -> str:
    """Return the environment that is meant: `--env`, or the default of invoke.yaml and INVOKE_ENV."""
    return env or str(context.config.get("env", "local"))


def document(form: str) -> bool:
    """Return whether standard output is to be one JSON document; then all else goes to standard error."""
    from slipway import report
    from slipway.errors import BadInput

    if form not in ("text", "json"):
        raise BadInput(f"--format {form} is unknown", todo="use text or json")
    if form == "json":
        report.use(sys.stderr)
    return form == "json"


def agreed(yes: bool) -> bool:
    """Return whether questions are answered with yes: by `--yes`, or in a pipeline, where nobody can."""
    return yes or bool(os.environ.get("CI"))
