"""What is wrong with settings, collected whole: every problem has a file, a line, a path and plain words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from slipway.errors import BadInput

Path = tuple[str | int, ...]
"""Where a value stands in a file: keys and list positions, outermost first."""

_SHOWN = 60


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, in one place."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.words}"

    @property
    def words(self) -> str:
        """What is wrong, with the path of the value."""
        return f"{self.path}: {self.message}" if self.path else self.message

    @property
    def where(self) -> str:
        """The place as editors and terminals understand it: `file:line`."""
        return f"{self.file}:{self.line}"


@dataclass
class Problems:
    """Collects problems, so that one message can list them all."""

    found: list[Problem] = field(default_factory=list)
    _places: set[tuple[str, int, str]] = field(default_factory=set, repr=False)

    def add(self, file: str, line: int, path: Path, message: str) -> None:
        """Note that the value at `path` is wrong; `message` goes on from "it ...". The first word on a value stands."""
        problem = Problem(file, line, dotted(path), _one_line(message))
        place = (file, line, problem.path if path else problem.message)
        if place not in self._places:
            self._places.add(place)
            self.found.append(problem)

    def raise_if_any(self) -> None:
        """Raise one `BadInput` that lists every problem in the order of the files' lines; return if there is none."""
        if not self.found:
            return
        error = self._error(sorted(self.found))
        error.places = tuple((p.file, p.line, p.words) for p in sorted(self.found))
        raise error

    def _error(self, found: list[Problem]) -> BadInput:
        if len(found) == 1:
            return BadInput(found[0].words, where=found[0].where, todo="correct it and run the command again")
        lines = [str(p) for p in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"... and {len(found) - _SHOWN} more")
        return BadInput(
            f"{len(found)} problems in the settings; nothing was touched",
            seen="\n".join(lines),
            todo="correct them and run the command again",
        )


def dotted(path: Path) -> str:
    """Return a path as people read it: `stacks[0].settings.LOG_LEVEL`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if part.isprintable() and len(part) <= 60 else repr(part[:60])
            text += f".{shown}" if text else shown
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean "registry"?)` for the known word closest to `word`, or nothing if none is close."""
    if len(word) > 80:  # difflib compares each letter with each: a page of text is no slip of the keyboard
        return ""
    options = sorted(set(known))
    lower = {o.lower(): o for o in options}
    match = difflib.get_close_matches(word.lower().replace("-", "_"), lower, 1, 0.6) or difflib.get_close_matches(
        word.lower(), lower, 1, 0.6
    )
    return f' (did you mean "{lower[match[0]]}"?)' if match else ""


def listed(words: Iterable[str]) -> str:
    """Return the words as a sentence lists them: `dev, local, staging`; "none" where there are none."""
    return ", ".join(sorted(words)) or "none"


def _one_line(message: str) -> str:
    text = " ".join(message.split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 500 else text[:497] + "..."
