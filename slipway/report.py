"""The one way to show progress: steps with their times.

On a terminal a step spins and its last words stand beside it; without one each step is a plain line when it ends; in GitHub
Actions steps are groups and failures annotations. Progress goes to standard error when a task's standard output is a document.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

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
        self.actions = os.environ.get("GITHUB_ACTIONS") == "true"
        self.live = self.stream.isatty() and os.environ.get("TERM") != "dumb" and not self.actions
        self._lock = threading.RLock()
        self._open: list[Step] = []
        self._status: Any = None

    def say(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._clear()
            print(clean(text), file=self.stream, flush=True)
            self._draw()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show `title` as work in progress until the block ends, then how long it took and how it ended."""
        step = Step(title)
        step._show = self._draw
        with self._lock:
            self._open.append(step)
            self._draw()
        mark = "✓"
        try:
            yield step
        except BaseException:
            mark = "✗"
            raise
        finally:
            step.seconds = time.monotonic() - step.started
            with self._lock:
                self._open.remove(step)
                self.steps.append(step)
                self._close_step(self._line(mark, step), step)

    def _close_step(self, line: str, step: Step) -> None:
        if not (self.actions and step.said):
            return self.say(line)
        return self.say("\n".join([f"::group::{line}", *step.said, "::endgroup::"]))

    def _line(self, mark: str, step: Step) -> str:
        words = f"{mark} {step.title}" + (f": {step.outcome}" if step.outcome else "")
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


def failure(paragraph: str) -> None:
    """Print an error's paragraph on standard error; in GitHub Actions as an annotation too."""
    _current.close()
    paragraph = clean(paragraph)
    if _current.actions:
        print("::error::" + paragraph.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"), file=sys.stdout)
    print(paragraph, file=sys.stderr, flush=True)
