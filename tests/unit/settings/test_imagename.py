"""Image names, read as Docker reads them."""

from __future__ import annotations

import pytest

from slipway.settings.imagename import HUB, ImageName, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("redis:8", ImageName("redis", HUB, "library/redis", "8")),
        ("redis", ImageName("redis", HUB, "library/redis", "latest")),
        ("team/x:1", ImageName("team/x", HUB, "team/x", "1")),
        ("docker.io/redis:8", ImageName("docker.io/redis", HUB, "library/redis", "8")),
        ("docker.io/team/x:1", ImageName("docker.io/team/x", HUB, "team/x", "1")),
        ("ghcr.example/a/b:2", ImageName("ghcr.example/a/b", "ghcr.example", "a/b", "2")),
        ("h:5000/x", ImageName("h:5000/x", "h:5000", "x", "latest")),
        ("localhost/x:1", ImageName("localhost/x", "localhost", "x", "1")),
        (f"redis@{DIGEST}", ImageName("redis", HUB, "library/redis", "", DIGEST)),
        (f"h:5000/a/b:1@{DIGEST}", ImageName("h:5000/a/b", "h:5000", "a/b", "1", DIGEST)),
    ],
)
def test_the_parts_of_a_name(name: str, expected: ImageName) -> None:
    assert parse(name) == expected
