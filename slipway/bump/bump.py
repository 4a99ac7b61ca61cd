"""What is newer, from all sources side by side; and the change for one thing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from slipway import checkpackages, report
from slipway.bump import newer, packages, sources
from slipway.bump.newer import Found, Newer
from slipway.errors import BadInput
from slipway.settings.load import root
from slipway.settings.problems import listed, nearest

_SOURCES = {
    "Ask for actions": sources.actions,
    "Ask for images": sources.images,
    "Ask for packages": packages.look,
    "Ask for collections": sources.collections,
}


def look(at: Path | None = None) -> Found:
    """Return what is newer than what this checkout uses, and what could not be reached. Changes nothing."""
    checkpackages.ensure()
    found = Found()

    def one(title: str) -> Found:
        with report.step(title) as step:
            answer = _SOURCES[title](at or root())
            words = f"{len(answer.newer)} newer"
            step.done(f"{words}, {len(answer.unreached)} not reached" if answer.unreached else words)
        return answer

    with ThreadPoolExecutor(len(_SOURCES)) as pool:
        for answer in pool.map(one, _SOURCES):
            found.add(answer)
    return Found(sorted(found.newer), sorted(found.unreached))


def change(name: str, at: Path | None = None) -> tuple[Newer, list[str]]:
    """Take the newest version of one thing; return what it is, and the files that changed.

    Raises:
        BadInput: nothing newer is known of that name.
        SlipwayError: the lock file could not be made.
    """
    found = look(at)
    matching = [n for n in found.newer if n.name == name]
    if not matching:
        known = [n.name for n in found.newer]
        seen = f"newer: {listed(known)}" + "".join(f"; not reached: {words}" for words in found.unreached)
        raise BadInput(
            f"nothing newer is known of {name[:60]!r}{nearest(name, known)}", seen=seen, todo="inv bump lists it"
        )
    changed = [
        file
        for one in matching
        for file in (packages.change(at or root(), one) if one.kind == "package" else newer.replace(at or root(), one))
    ]
    return max(matching), sorted(set(changed))


def document(found: Found) -> dict[str, Any]:
    """Return what is newer as a JSON document."""
    keys = ("kind", "name", "now", "then", "files")
    return {"newer": [{k: getattr(n, k) for k in keys} for n in found.newer], "unreached": found.unreached}


def text(found: Found) -> str:
    """Return what is newer as people read it."""
    rows = [(n.kind, n.name, f"{n.now} → {n.then}", _places(n)) for n in found.newer]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows]
    lines += [f"! not reached: {words}" for words in found.unreached]
    if not rows:
        return "\n".join([*lines, "nothing newer was found" if found.unreached else "all is as new as can be"])
    return "\n".join([*lines, "", "inv bump --only NAME takes one of them"])


def _places(one: Newer) -> str:
    return one.files[0] if len(one.files) == 1 else f"{len(one.files)} files"
