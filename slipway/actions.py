"""What GitHub Actions reads of a command: annotations and groups in what it prints, outputs in a file.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "push": ("version", "images"),
    "release.proven": ("version", "images", "commit"),
    "deploy": ("release", "url"),
}
"""What each verb leaves for later steps of a pipeline (`steps.<id>.outputs.<name>`)."""

Place = tuple[str, int, str]
"""A file, a line (1 where it is not known), and what is wrong there."""

_COMMAND = re.compile(r"((?:^|\r)\s*):(?=:)|##(?=\[)", re.M)


def on() -> bool:
    """Tell whether this process runs in GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def harmless(text: str) -> str:
    """Return `text` so that no line of it is a command to the runner: hosts, builds and logs may say anything."""
    return _COMMAND.sub(lambda found: f"{found[1]}: " if found[1] is not None else "## ", text)


def annotation(words: str, *, file: str = "", line: int = 0, title: str = "", level: str = "error") -> str:
    """Return the command that marks a file's line, or the whole run, with `words`.

    Args:
        words: what is shown.
        file: path from the checkout's root.
        line: in it, from 1.
        title: what stands above the words.
        level: error, warning or notice.
    """
    given = {"file": file, "line": str(line) if file and line else "", "title": title}
    properties = ",".join(f"{key}={_property(value)}" for key, value in given.items() if value)
    return f"::{level}{' ' if properties else ''}{properties}::{_data(words)}"


def group(title: str, lines: Iterable[str]) -> str:
    """Return lines that the page of a run shows folded behind `title`."""
    return "\n".join([f"::group::{_data(title)}", *(harmless(line) for line in lines), "::endgroup::"])


def place_of(where: str, root: Path) -> tuple[str, int] | None:
    """Return the file and the line that an error's `where` names, if it is a file of the checkout at `root`."""
    found = re.fullmatch(r"([^:\s]+)(?::(\d+))?", where)
    if not found:
        return None
    path = Path(found[1])
    if path.is_absolute():
        if not path.is_relative_to(root):
            return None
        path = path.relative_to(root)
    return (str(path), int(found[2] or 1)) if ".." not in path.parts and (root / path).is_file() else None


def leave(verb: str, values: Mapping[str, str]) -> None:
    """Leave a verb's outputs for later steps (GITHUB_OUTPUT); elsewhere nothing.

    Args:
        verb: as in `OUTPUTS`.
        values: exactly the outputs that are named there.
    """
    assert tuple(values) == OUTPUTS[verb], verb  # noqa: S101 - the workflows' test relies on it
    path = os.environ.get("GITHUB_OUTPUT")
    if not path:
        return
    with Path(path).open("a", encoding="utf-8") as file:
        for name, value in values.items():
            end = f"end-{uuid.uuid4()}"  # nobody can guess it, so no value ends early and adds an output of its own
            file.write(f"{name}<<{end}\n{value}\n{end}\n")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
