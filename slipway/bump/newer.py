"""What a source of versions says: what is newer, what could not be reached; and how versions are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, order=True)
class Newer:
    """One thing of which there is a newer version.

    Args:
        kind: action, image, package or collection.
        name: what `--only` takes.
        now: the version that is used.
        then: the newest.
        files: where it is used.
        edits: what is replaced in each of them, old and new; none where a tool makes the change.
    """

    kind: str
    name: str
    now: str
    then: str
    files: tuple[str, ...] = ()
    edits: tuple[tuple[str, str], ...] = field(default=(), compare=False)


@dataclass
class Found:
    """What is newer, and what could not be reached."""

    newer: list[Newer] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Take another source's answer in."""
        self.newer += other.newer
        self.unreached += other.unreached


@dataclass(frozen=True)
class Tag:
    """A tag in its parts: `v3.13-slim` is v, (3, 13), -slim."""

    text: str
    before: str
    numbers: tuple[int, ...]
    after: str

    def like(self, other: Tag) -> bool:
        """Tell whether both are versions of the same kind: as many numbers, the same letters around them."""
        same = (self.before, self.after, len(self.numbers)) == (other.before, other.after, len(other.numbers))
        return same and (self.numbers[0] > 1900) == (other.numbers[0] > 1900)  # a year is no version


def tag(text: str) -> Tag | None:
    """Return a tag in its parts, None where it is no version (`trixie-slim`), or one before its release (`-rc1`)."""
    found = re.fullmatch(r"(v?)(\d+(?:\.\d+)*)((?:-[a-z][\w.]*)*)", text)
    if not found or re.search(r"-(alpha|beta|rc|pre|dev)", found[3]):
        return None
    return Tag(text, found[1], tuple(int(n) for n in found[2].split(".")), found[3])


def newest(now: str, known: Iterable[str]) -> str | None:
    """Return the newest of the `known` tags that is of the same kind as `now` and newer, None if there is none."""
    mine = tag(now)
    if mine is None:
        return None
    others = [other for other in map(tag, known) if other and other.like(mine) and other.numbers > mine.numbers]
    return max(others, key=lambda other: other.numbers).text if others else None


def replace(root: Path, newer: Newer) -> list[str]:
    """Make the edits of one thing; return the files that changed."""
    changed = []
    for name in newer.files:
        text = after = (root / name).read_text(encoding="utf-8")
        for old, new in newer.edits:
            # redis:8, but not redis:8.2
            after = new.join(re.split(rf"{re.escape(old)}(?![\w.-])", after))
        if after != text:
            (root / name).write_text(after, encoding="utf-8")
            changed.append(name)
    return changed
