"""The one way to show progress: steps with their times.

On a terminal a step spins and its last words stand beside it; without one each step is a plain line when it ends; in GitHub
Actions steps are groups, failures annotations, and the run's page gets a table. Progress and annotations go to standard error
when a task's standard output is a document.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from slipway import actions, streams
from slipway.settings.redact import clean
from slipway.settings.units import duration


@dataclass
class Step:
    """A piece of work that is shown while it runs and timed."""

    title: str
    depth: int = 0
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    outcome: str = ""
    failed: bool = False
    words: str = ""
    said: list[str] = field(default_factory=list)
    _show: Any = None

    def say(self, words: str) -> None:
        """Show what the step is doing now (one line, replaces the last)."""
        self.words = words
        if words not in self.said[-1:]:
            self.said = [*self.said[-199:], words]
        if self._show:
            self._show()

    def done(self, outcome: str) -> None:
        """Set the words that stand behind the step once it has ended ("2 images, 31 MB")."""
        self.outcome = outcome


class Reporter:
    """Shows steps on one stream. Thread safe: steps may run side by side."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.steps: list[Step] = []
        self.touched = False
        """Whether a host may have been changed by now: an unforeseen error then needs a person."""
        self.page: list[str] = []
        """Markdown for the page of a pipeline's run, besides the steps."""
        self._on_page = 0
        self.actions = actions.on()
        self.live = self.stream.isatty() and os.environ.get("TERM") != "dumb" and not self.actions
        self._lock = threading.RLock()
        self._open: list[Step] = []
        self._status: Any = None

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._write(actions.harmless(clean(text)) if self.actions else clean(text))

    def annotate(self, words: str, *, file: str = "", line: int = 0, title: str = "", level: str = "error") -> None:
        """In GitHub Actions, mark a file's line or the run with `words` (see `slipway.actions`); elsewhere nothing."""
        if self.actions:
            self._write(actions.annotation(clean(words), file=file, line=line, title=title, level=level))

    def _write(self, text: str) -> None:
        with self._lock:
            self._clear()
            streams.write(self.stream, text)
            self._draw()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show `title` as work in progress until the block ends, then how long it took and how it ended."""
        step = Step(title)
        step._show = self._draw
        with self._lock:
            self._open.append(step)
            self._draw()
        try:
            yield step
        except BaseException:
            step.failed = True
            raise
        finally:
            step.seconds = time.monotonic() - step.started
            with self._lock:
                self._open.remove(step)
                self.steps.append(step)
                self._close_step(self._line(step), step)

    def _close_step(self, line: str, step: Step) -> None:
        if not (self.actions and step.said):
            return self.say(line)
        return self._write(actions.group(clean(line), map(clean, step.said)))

    def _line(self, step: Step) -> str:
        words = f"{'✗' if step.failed else '✓'} {step.title}" + (f": {step.outcome}" if step.outcome else "")
        took = duration(step.seconds)
        return f"{words}  ({took})" if not self.live else f"{words}  \x1b[2m{took}\x1b[0m"

    def _draw(self) -> None:
        if not self.live:
            return None
        with self._lock:
            if not self._open:
                return self._clear()
            from rich.console import Console
            from rich.markup import escape
            from rich.status import Status

            text = " · ".join(escape(clean(f"{s.title} {s.words}".strip())) for s in self._open[-3:])
            if self._status is None:
                self._status = Status(text, console=Console(file=self.stream))
                self._status.start()
            else:
                self._status.update(text)
        return None

    def summary(self, head: str) -> str:
        """Return what happened since the last summary as Markdown: the steps, and what verbs put on the page."""
        steps, self._on_page = self.steps[self._on_page :], len(self.steps)
        parts, self.page = self.page, []
        if steps:
            rows = [
                f"| {'✗' if s.failed else '✓'} {_cell(s.title)} | {_cell(s.outcome)} | {duration(s.seconds)} |"
                for s in steps
            ]
            parts = ["\n".join(["| step | outcome | time |", "| --- | --- | --- |", *rows]), *parts]
        return "\n\n".join([f"### {head}", *parts]) + "\n\n" if parts else ""

    def close(self) -> None:
        """Take what is live off the screen."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


_current = Reporter()


def use(stream: TextIO) -> None:
    """Send progress to `stream` from now on (standard error, when standard output is a document)."""
    global _current  # noqa: PLW0603 - one reporter a process
    _current = Reporter(stream)


def current() -> Reporter:
    """Return the reporter in use."""
    return _current


def step(title: str) -> Any:
    """Open a step on the reporter in use.

    `with step("Build api") as s: s.say("pulling"); s.done("31 MB")`
    """
    return _current.step(title)


def say(text: str) -> None:
    """Print a line that stays."""
    _current.say(text)


def annotate(words: str, *, file: str = "", line: int = 0, title: str = "", level: str = "error") -> None:
    """Mark a file's line or the whole run with `words`, in GitHub Actions."""
    _current.annotate(words, file=file, line=line, title=title, level=level)


def out(answer: Any) -> None:
    """Print a verb's answer on standard output: words, or a value as the one JSON document."""
    _current.close()
    streams.write(sys.stdout, _words(answer) if isinstance(answer, str) else json.dumps(_masked(answer), indent=2))


def _words(text: str) -> str:
    return actions.harmless(clean(text)) if _current.actions else clean(text)


def _masked(value: Any) -> Any:
    """Return a JSON value whose texts are free of secrets; its keys stay, whatever a secret is called."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, (list, tuple)) else value


def err(text: str) -> None:
    """Print on standard error, whatever standard output is."""
    _current.close()
    streams.write(sys.stderr, _words(text))


def failure(paragraph: str, places: Sequence[actions.Place] = ()) -> None:
    """Print an error's paragraph on standard error; in GitHub Actions as annotations too.

    Args:
        paragraph: the whole of it.
        places: the lines that are wrong, where the error knows them: each is marked; otherwise the run is.
    """
    for file, line, words in places:
        annotate(words, file=file, line=line)
    if not places:
        annotate(paragraph)
    err(paragraph)


def summarize(head: str) -> None:
    """Put what happened since the last summary on the page of a pipeline's run (GITHUB_STEP_SUMMARY), if this is one."""
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    text = clean(_current.summary(head))
    if page and text:
        with Path(page).open("a") as file:
            file.write(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
