"""`inv lint`: what linters name becomes marks on lines."""

from __future__ import annotations

import pytest

from slipway import quality


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("tasks.py:3: error: no such name\nFound 1 error", [("tasks.py", 3, "error: no such name")]),
        ("F401 `os` unused\n --> slipway/quality.py:5:8\n  |\n", [("slipway/quality.py", 5, "F401 `os` unused")]),
        ("./inv:12:5: warning: quote this [SC2086]", [("inv", 12, "warning: quote this [SC2086]")]),
        ("envs/dev.yml:3:9: [error] wrong indentation", [("envs/dev.yml", 3, "[error] wrong indentation")]),
        ("nowhere.py:3: error: x\nat 12:30 it ended", []),
    ],
)  # fmt: skip
def test_places(said: str, found: list[tuple[str, int, str]]) -> None:
    assert list(quality.places(said)) == found


def test_workflows_are_linted() -> None:
    found = quality.linters()
    assert {"actionlint", "zizmor"} <= found.keys()
    assert ".github/workflows/deploy.yml" in found["actionlint"]
    assert "--offline" in found["zizmor"]
