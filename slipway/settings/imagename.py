"""An image's name, read as Docker reads it: `[registry/]path[:tag][@digest]`."""

from __future__ import annotations

from dataclasses import dataclass

HUB = "docker.io"
"""The registry of names that name none; official images are below its `library/`."""


@dataclass(frozen=True)
class ImageName:
    """An image's name in its parts.

    Args:
        repository: as written, without tag and digest.
        registry: host[:port] of its registry; `HUB` where none is written.
        path: of the repository in that registry.
        tag: `latest` where neither a tag nor a digest is written.
        digest: `sha256:…`, or "".
    """

    repository: str
    registry: str
    path: str
    tag: str
    digest: str = ""


def parse(name: str) -> ImageName:
    """Return the parts of an image's name.

    Source: https://pkg.go.dev/github.com/distribution/reference (what is before the first slash is a registry where it
    has a dot or a colon, or is localhost).
    """
    rest, _, digest = name.partition("@")
    head, _, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    repository = f"{head}/{last}" if head else last
    first, _, below = repository.partition("/")
    if below and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, below
    else:
        registry, path = HUB, repository if below else f"library/{repository}"
    if registry == HUB and "/" not in path:  # docker.io/redis
        path = f"library/{path}"
    return ImageName(repository, registry, path, tag or ("" if digest else "latest"), digest)
