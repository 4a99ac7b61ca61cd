"""Which tag is newer than which, and where it is put in."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.bump.newer import Newer, newest, replace


@pytest.mark.parametrize(
    ("now", "known", "then"),
    [
        ("3.13-slim-trixie", ["3.9-slim-trixie", "3.14-slim-trixie", "3.15-slim", "3.15-rc1-slim-trixie", "3"], "3.14-slim-trixie"),
        ("v7.0.1", ["v7", "v7.0.2", "v7.0.10", "7.0.11", "v8.0.0-beta.1"], "v7.0.10"),
        ("17", ["18", "9", "18.1", "19-alpine", "20250101"], "18"),
        ("2.0", ["2.0", "1.9"], None), ("0.18.0", ["latest", "0.18.1"], "0.18.1"), ("trixie-slim", ["99"], None),
    ],
)  # fmt: skip
def test_newest(now: str, known: list[str], then: str | None) -> None:
    assert newest(now, known) == then


def test_only_whole_names_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("image: redis:8\nimage: redis:8.2\nimage: myredis:80\n")
    (tmp_path / "b").write_text("nothing\n")
    changed = replace(tmp_path, Newer("image", "redis", "8", "9", ("a", "b"), (("redis:8", "redis:9"),)))
    assert changed == ["a"]
    assert (tmp_path / "a").read_text() == "image: redis:9\nimage: redis:8.2\nimage: myredis:80\n"
