"""Which version a tree is, and what an image is built from."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from slipway.errors import BadInput
from slipway.image import build, source
from slipway.settings.model import Build, Environment, StackEntry

GIT = ("git", "-c", "user.name=T", "-c", "user.email=t@example.com")


def env(dirty: bool = True) -> Environment:
    return Environment(name="here", stacks=(StackEntry(name="probe"),), allow_dirty=dirty)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("a")
    for argv in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "-m", "x")):
        subprocess.run([*GIT, *argv], cwd=tmp_path, check=True)
    return tmp_path


def test_a_clean_tree_is_its_revision(tree: Path) -> None:
    assert re.fullmatch("[0-9a-f]{10}", source.tree_version(tree, env(dirty=False)))


def test_a_dirty_tree_is_told_by_its_content(tree: Path) -> None:
    clean = source.tree_version(tree, env())
    seen = {clean}
    for name, text in (("a.txt", "b"), ("new.txt", "1"), ("new.txt", "2"), ("a.txt", "c")):
        (tree / name).write_text(text)
        version = source.tree_version(tree, env())
        assert re.fullmatch(rf"{clean}-dirty-[0-9a-f]{{8}}", version)
        assert version == source.tree_version(tree, env()), "the same tree, the same version"
        seen.add(version)
    assert len(seen) == 5


def test_a_dirty_tree_is_refused_elsewhere(tree: Path) -> None:
    (tree / "b.txt").write_text("b")
    with pytest.raises(BadInput, match="uncommitted changes") as caught:
        source.tree_version(tree, env(dirty=False))
    assert "b.txt" in caught.value.seen
    assert "--version" in caught.value.todo


def test_no_checkout_no_version(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a git checkout"):
        source.tree_version(tmp_path, env())


def context(folder: Path, **more: object) -> str:
    return source.context_digest(Build(context=str(folder), **more))  # type: ignore[arg-type]  # keys of Build


def test_what_is_given_to_the_build_counts(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "app.py").write_text("1")
    (tmp_path / ".dockerignore").write_text("# comment\n\n*.log\ndocs\n")
    first = context(tmp_path)
    (tmp_path / "noise.log").write_text("x")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("x")
    assert context(tmp_path) == first, "what .dockerignore names does not"
    changed = {first, context(tmp_path, target="dev"), context(tmp_path, args={"A": "1"})}
    (tmp_path / "app.py").write_text("2")
    changed.add(context(tmp_path))
    (tmp_path / "app.py").chmod(0o755)
    changed.add(context(tmp_path))
    (tmp_path / "link").symlink_to("app.py")
    changed.add(context(tmp_path))
    assert len(changed) == 6, "each of these makes another image"


def test_times_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    first = context(tmp_path)
    os.utime(tmp_path / "Dockerfile", (1, 1))
    assert context(tmp_path) == first


def test_migrations_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "001.sql").write_text("1")
    first = source.folder_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.pyc").write_text("x")
    assert source.folder_digest(tmp_path) == first
    (tmp_path / "002.sql").write_text("2")
    assert source.folder_digest(tmp_path) != first


def test_base_images_without_stages(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG V=1\nFROM python:3.13-slim-trixie AS base\nFROM --platform=linux/amd64 redis:8 as cache\nFROM base\nFROM scratch\n"
        "FROM thing:${V}\n"
    )
    from slipway.settings.model import Service

    service = Service(name="web", role="app", build=Build(context=str(tmp_path)))
    assert build.base_images(service) == ["python:3.13-slim-trixie", "redis:8"]
