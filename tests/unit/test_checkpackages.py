"""Packages for checks: installed once, in this checkout's own environment, and anew where the lock file changed."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from slipway import checkpackages
from slipway.errors import SlipwayError
from slipway.process import run
from slipway.settings.load import root


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose list is empty: pip has nothing to do, here where it runs."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / checkpackages.LOCK).write_text("# nothing\n")
    monkeypatch.setattr(checkpackages, "root", lambda: tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    return tmp_path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """How often pip was called; it answers what it did the first time."""
    found: list[object] = []
    real = functools.cache(run)
    monkeypatch.setattr(checkpackages, "run", lambda argv, **more: found.append(argv) or real(tuple(argv), **more))
    return found


def test_once_for_each_lock_file(checkout: Path, runs: list[object]) -> None:
    checkpackages.ensure()
    checkpackages.ensure()
    assert len(runs) == 1
    (checkout / checkpackages.LOCK).write_text("# something else\n")
    checkpackages.ensure()
    assert len(runs) == 2


def test_what_failed_is_tried_again(checkout: Path, runs: list[object]) -> None:
    (checkout / checkpackages.LOCK).write_text("./gone-1.0-py3-none-any.whl\n")
    for _ in range(2):
        with pytest.raises(SlipwayError, match="could not be installed") as caught:
            checkpackages.ensure()
    assert "gone-1.0" in caught.value.seen
    assert len(runs) == 2


@pytest.mark.parametrize("whose", ["linked", "another"])
def test_somebody_elses_environment_is_left_alone(
    whose: str, checkout: Path, runs: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    if whose == "linked":
        (checkout / ".venv").rename(checkout / "there")
        (checkout / ".venv").symlink_to(checkout / "there")
    else:
        monkeypatch.setattr(sys, "prefix", str(checkout))
    checkpackages.ensure()
    assert runs == []


def test_nothing_that_a_deploy_needs_comes_late() -> None:
    """Modules that the package imports are in the lock file that the launcher installs."""
    first = (root() / "requirements.lock").read_text()
    for name in ("alembic", "ansible-core", "mako", "mitogen", "pytest", "pytest-testinfra", "pydantic", "rich"):
        assert f"\n{name}==" in f"\n{first}", name
    for name in ("ruff", "mypy", "ansible-lint", "zizmor", "uv"):
        assert f"\n{name}==" not in f"\n{first}", name
