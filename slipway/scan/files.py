"""Which files of the checkout a scanner looks at: those that git knows, and new ones that it does not ignore."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from slipway.process import run

_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?", re.I)
_IMAGE = re.compile(r"^\s*(?:- )?image:\s*[\"']?(?P<image>[^\"'\s#]+)")


def tracked(root: Path, *patterns: str) -> list[str]:
    """Return the files of the checkout at `root` that match git's patterns (all without one)."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = run(argv, cwd=root).out.split("\0")
    return [name for name in listed if name and (root / name).is_file()]


def images(root: Path) -> Iterator[tuple[str, int, str]]:
    """Yield each image that Dockerfiles start from and that stack files and manifests run: file, line, name.

    Names with a variable, and stages of the same Dockerfile, are no images.
    """
    for name in tracked(root, "*Dockerfile"):
        stages = {"scratch"}
        for number, line in enumerate((root / name).read_text(errors="replace").splitlines(), 1):
            if found := _FROM.match(line.strip()):
                if found["image"] not in stages and "$" not in found["image"]:
                    yield name, number, found["image"]
                stages.add(str(found["stage"]))
    for name in tracked(root, "compose/*/compose*.yaml", "k8s/*.yml", "k8s/*.yaml"):
        for number, line in enumerate((root / name).read_text(errors="replace").splitlines(), 1):
            found = _IMAGE.match(line)
            if found and "$" not in found["image"]:
                yield name, number, found["image"]
