"""Newer Python packages: uv makes the lock files anew, in a folder aside to look, or in place for one package.

How a lock file is made stands in the head of its list (`#   uv pip compile …`), and nowhere else.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from slipway.bump.newer import Found, Newer
from slipway.errors import SlipwayError
from slipway.process import run
from slipway.scan import files

_HEAD = re.compile(r"^#\s+uv (pip compile .+)$", re.M)
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.M)
_OUTPUT = ("-o", "--output-file")


def look(root: Path) -> Found:
    """Return the packages of which a newer version would be locked. Changes nothing."""
    found: dict[tuple[str, str, str], list[str]] = {}
    answer = Found()
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        for name in _lists(root):
            shutil.copytree(
                (root / name).parent, Path(folder) / Path(name).parent, dirs_exist_ok=True, ignore=_only_lists
            )
        for name in _lists(root):
            lock = _lock(root, name)
            before = pins((root / lock).read_text())
            try:
                _compile(Path(folder), name, "--upgrade")
            except SlipwayError as error:
                answer.unreached.append(f"{lock}: {error.seen.strip() or error}"[:300])
                continue
            for package, version in pins((Path(folder) / lock).read_text()).items():
                if package in before and before[package] != version:
                    found.setdefault((package, before[package], version), []).append(lock)
    answer.newer += [Newer("package", *key, tuple(locks)) for key, locks in found.items()]
    return answer


def change(root: Path, newer: Newer) -> list[str]:
    """Lock the newest version of one package; return the files that changed. Raises SlipwayError where uv can't."""
    changed: list[str] = []
    for name in _lists(root):
        lock = _lock(root, name)
        before = (root / lock).read_text()
        if lock in newer.files or changed:  # the lists that come after one are held to what it locks
            _compile(root, name, "--upgrade-package", newer.name)
        changed += [lock] if (root / lock).read_text() != before else []
    return changed


def pins(text: str) -> dict[str, str]:
    """Return the versions in a lock file, by package; of several (for several Pythons) the last."""
    return {name.lower(): version for name, version in _PIN.findall(text)}


def _lists(root: Path) -> list[str]:
    """Return the lists whose heads say how they are locked; one that is held to another's lock comes after it."""
    names = files.tracked(root, "*requirements*.in")
    found = [n for n in names if _HEAD.search((root / n).read_text()) and not n.startswith("tests/")]
    return sorted(found, key=lambda n: ("\n-c " in (root / n).read_text(), n))


def _words(root: Path, name: str) -> list[str]:
    head = _HEAD.search((root / name).read_text())
    assert head  # noqa: S101 - it is one of the lists
    return shlex.split(head[1])


def _lock(root: Path, name: str) -> str:
    words = _words(root, name)
    output = words[1 + next(i for i, word in enumerate(words) if word in _OUTPUT)]
    return str(Path(name).parent / output)


def _compile(root: Path, name: str, *flags: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    run([uv, *_words(root, name), "--quiet", *flags], cwd=(root / name).parent, timeout=300)


def _only_lists(folder: str, names: list[str]) -> set[str]:
    return {n for n in names if not n.startswith("requirements") or (Path(folder) / n).is_dir()}
