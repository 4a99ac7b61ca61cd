"""What a person types. A task parses, calls one function and prints; errors become exit codes in one place, here."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from invoke import Context, Exit
from invoke import task as invoke_task

from slipway.errors import SlipwayError

HELP = {
    "env": "environment, a file envs/<env>.yml (default: the one in invoke.yaml, or $INVOKE_ENV)",
    "stack": "stack, a folder compose/<stack> (default: the first that the environment names)",
    "plan": "show what would be done, change nothing",
    "yes": "install a container engine without asking, where one is needed and there is none",
    "format": "text, or json: one document on standard output, all else on standard error",
    "version": "version, a tag in the registry (default: this tree's git revision)",
}


def task(*names: str, **more: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function an Invoke task whose foreseeable failures are a paragraph and an exit code, never a traceback.

    Args:
        names: parameters that are described in `HELP`.
        more: descriptions of the others.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def body(context: Context, *args: Any, **options: Any) -> None:
            try:
                code = function(context, *args, **options)
            except SlipwayError as error:
                raise _exit(str(error), error.exit_code) from error
            except KeyboardInterrupt as error:
                raise _exit("interrupted: `inv status` shows what serves; the same command goes on", 1) from error
            except Exit:
                raise
            except Exception as error:
                raise _unforeseen(error) from error
            if code:
                raise Exit(code=int(code))

        return invoke_task(help={**{n: HELP[n] for n in names}, **more})(body)

    return decorate


def _exit(message: str, code: int) -> Exit:
    from slipway import report

    if os.environ.get("INVOKE_DEBUG"):
        import traceback

        report.say(traceback.format_exc())
    report.failure(message)
    return Exit(code=code)


def _unforeseen(error: Exception) -> Exit:
    from slipway import report

    message = (
        f"unforeseen: {type(error).__name__}: {error}. `inv --debug …` shows where. `inv status` shows what serves."
    )
    return _exit(message, 5 if report.current().touched else 1)


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
