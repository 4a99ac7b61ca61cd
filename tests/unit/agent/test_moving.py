"""Restored files in the place of those that are there, by the very scripts; ended anywhere, one or the other is there whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slipway.agent.data import moving


def sh(script: str, *words: str | Path) -> None:
    done = subprocess.run(["sh", "-euc", script, "sh", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fill(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def there(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


OLD = {"a": "old a", "sub/b": "old b"}
NEW = {"a": "new a", "sub/c": "new c"}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    fill(tmp_path, a="old a", sub__b="old b")
    fill(tmp_path / moving.NEW, a="new a", sub__c="new c")
    return tmp_path


def test_everything(volume: Path) -> None:
    sh(moving.SWAP, volume)
    assert there(volume) == NEW


@pytest.mark.parametrize("moved", [[], ["a"], ["a", "sub"]])
@pytest.mark.parametrize("then", [moving.CLEAN, moving.RECOVER + 'recover "$1"; rm -rf "$1"/.slipway-*'])
def test_ended_while_the_old_goes_out(volume: Path, moved: list[str], then: str) -> None:
    aside = volume / moving.OLD
    fill(aside, **{".whole": ""})
    for name in moved:
        (volume / name).rename(aside / name)
    sh(then, volume)
    assert there(volume) == OLD


@pytest.mark.parametrize("moved", [[], ["a"], ["a", "sub"]])
def test_ended_while_the_new_comes_in(volume: Path, moved: list[str]) -> None:
    aside = volume / moving.OLD
    fill(aside, **{".whole": "", ".out": ""})
    for name in ("a", "sub"):
        (volume / name).rename(aside / name)
    for name in moved:
        (volume / moving.NEW / name).rename(volume / name)
    sh(moving.CLEAN, volume)
    assert there(volume) == NEW


@pytest.fixture
def one(tmp_path: Path) -> Path:
    fill(tmp_path, data__index__a="old a", other="stays")
    fill(tmp_path / moving.NEW / "0", a="new a", b="new b")
    return tmp_path


def test_one_folder(one: Path) -> None:
    sh(moving.SWAP_ONE, one, "data/index", "0")
    sh(moving.CLEAN, one)
    assert there(one) == {"data/index/a": "new a", "data/index/b": "new b", "other": "stays"}


def test_ended_between_the_two_moves_of_one_folder(one: Path) -> None:
    fill(one / moving.OLD, **{"0.path": "data/index"})
    (one / "data/index").rename(one / moving.OLD / "0")
    sh(moving.CLEAN, one)
    assert there(one) == {"data/index/a": "old a", "other": "stays"}


def test_typed_again_after_that(one: Path) -> None:
    fill(one / moving.OLD, **{"0.path": "data/index"})
    (one / "data/index").rename(one / moving.OLD / "0")
    sh(moving.SWAP_ONE, one, "data/index", "0")
    sh(moving.CLEAN, one)
    assert there(one) == {"data/index/a": "new a", "data/index/b": "new b", "other": "stays"}
