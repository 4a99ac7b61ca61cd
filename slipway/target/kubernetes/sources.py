"""Where a manifest stands: kustomize tells no lines, so the overlay's files, and those that it stands on, are searched for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from slipway.target.kubernetes.kinds import Manifest
from slipway.target.kubernetes.manifests import RELEASE, SERVICE

_FILE = "kustomization.yaml"


class Sources:
    """The files of an overlay; read when first asked.

    Args:
        overlay: its folder.
        root: the tree's; paths are told from there.
    """

    def __init__(self, overlay: Path, root: Path) -> None:
        self.overlay, self.root = overlay, root

    def of(self, manifest: Manifest) -> str:
        """Return `file:line` of an object; "" where its name stands in no file: kustomize or Slipway made it."""
        kind, metadata = str(manifest.get("kind")), manifest.get("metadata", {})
        name, labels = str(metadata.get("name")), metadata.get("labels") or {}
        found = self._places.get((kind, name), "")
        if not found and RELEASE in labels:  # its name has the release's in it
            found = self._places.get((kind, str(labels.get(SERVICE))), "")
        return found

    @cached_property
    def _places(self) -> Mapping[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = {}
        for file in _files(self.overlay.resolve(), set()):
            for kind, name, line in _objects(file):
                found.setdefault((kind, name), f"{_shown(file, self.root.resolve())}:{line}")
        return found


def _shown(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def _files(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the files that a kustomization names as resources, those of what it stands on included; skip what can't be read."""
    seen.add(folder)
    try:
        told: Any = yaml.safe_load((folder / _FILE).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return
    named = [n for key in ("resources", "components") for n in (told or {}).get(key) or []]
    for path in ((folder / str(name)).resolve() for name in named):
        if path.is_file():
            yield path
        elif path.is_dir() and path not in seen:
            yield from _files(path, seen)


def _objects(file: Path) -> Iterator[tuple[str, str, int]]:
    """Yield kind, name and line of each object of a file."""
    try:
        documents = [d for d in yaml.compose_all(file.read_text(), Loader=yaml.SafeLoader) if d]
    except (OSError, ValueError, yaml.YAMLError):
        return
    for document in documents:
        top = _fields(document)
        name = _fields(top["metadata"]).get("name") if "metadata" in top else None
        if "kind" in top and name is not None:
            yield str(top["kind"].value), str(name.value), document.start_mark.line + 1


def _fields(node: Any) -> dict[str, Any]:
    return {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
