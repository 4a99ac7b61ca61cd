"""The samples in the documentation, as files: a line that is a path in backticks, and the fenced block below it."""

from __future__ import annotations

import re
from pathlib import Path

_SAMPLE = re.compile(r"^`(?P<path>[\w./-]+/[\w.-]+)`\n\n```\w*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def extract(page: Path) -> dict[str, str]:
    """Return text by path of all samples of a page. Raise ValueError for a path that leaves the checkout."""
    found = {m["path"]: m["text"] for m in _SAMPLE.finditer(page.read_text(encoding="utf-8"))}
    for path in found:
        if ".." in Path(path).parts or Path(path).is_absolute():
            raise ValueError(path)
    return found


def write(page: Path, checkout: Path) -> list[Path]:
    """Write the samples of a page into a checkout and return their paths. Files that exist are an error."""
    written = []
    for path, text in extract(page).items():
        file = checkout / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
        written.append(file)
    return written
