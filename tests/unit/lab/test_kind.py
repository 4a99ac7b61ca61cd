"""A cluster by kind: what is said where kind is missing, or fails. (That it starts one is kind's own affair.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.lab import kind


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = folder / "kind"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_kind_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlipwayError, match="kind is not installed"):
        kind.up()
    assert not kind.down()


def test_kind_can_not_pull_its_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, '[ "$1" = get ] || { echo "ERROR: failed to pull image kindest/node" >&2; exit 1; }')
    with pytest.raises(SlipwayError, match="failed to pull image"):
        kind.up()


def test_one_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, '[ "$1" = get ] && echo slipway || exit 1')
    assert kind.up() == "kind-slipway"
