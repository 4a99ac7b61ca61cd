"""Recipes and mirrors: what stand-ins are made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from slipway.lab import base, frozen, images


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(images.RECIPES, tmp_path / "recipes")
    monkeypatch.setattr(images, "RECIPES", tmp_path / "recipes")
    return tmp_path / "recipes"


def hashes() -> dict[str, str]:
    return {name: images.recipe_hash(name) for name in images.STANDINS}


def test_a_changed_recipe_is_another_image(recipes: Path) -> None:
    before = hashes()
    assert before == hashes()
    with (recipes / "redis" / "docker-entrypoint.sh").open("a") as file:
        file.write("# more\n")
    changed = {name for name, value in hashes().items() if value != before[name]}
    assert changed == {"redis:8"}


def test_what_all_share_changes_all(recipes: Path) -> None:
    before = hashes()
    (recipes / "base" / "build.sh").write_text("exit 1\n")
    assert not set(hashes().items()) & set(before.items())


def test_a_file_that_becomes_executable_is_a_change(recipes: Path) -> None:
    before = images.recipe_hash("postgres:17")
    (recipes / "postgres" / "docker-entrypoint.sh").chmod(0o644)
    assert images.recipe_hash("postgres:17") != before


def test_every_recipe_is_there_and_offers_the_machines_package_lists() -> None:
    for name, folder in images.STANDINS.items():
        if name != images.BASE:
            assert "target=/var/lib/apt/lists,rw" in (images.RECIPES / folder / "Dockerfile").read_text(), name


def test_an_image_without_stand_in_says_which_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images.places, "home", lambda: tmp_path)
    monkeypatch.setattr(images, "_present", lambda name: None)
    monkeypatch.setattr(images, "online", lambda: False)
    with pytest.raises(SlipwayError, match="nginx:1 is not on the engine") as caught:
        images.ensure("nginx:1")
    assert "postgres:17" in str(caught.value)
    assert images.HOST not in str(caught.value)


def test_a_changed_playbook_is_another_frozen_host(tmp_path: Path) -> None:
    playbook = tmp_path / "ansible" / "site.yml"
    playbook.parent.mkdir()
    playbook.write_text("- hosts: all\n")
    before = frozen.tag(tmp_path)
    assert before == frozen.tag(tmp_path)
    playbook.write_text("- hosts: some\n")
    assert frozen.tag(tmp_path) != before


OTHERS = """\
Types: deb
URIs: https://vendor.example/repo
Suites: bookworm
Components: main
"""


def test_mirrors_in_the_newer_format(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "a-vendor.sources").write_text(OTHERS)
    (folder / "debian.sources").write_text(
        "Types: deb\n# said by the vendor\nURIs: http://mirror.example/pub/linux\nSuites: bookworm bookworm-updates\n"
        "Components: main\n\nTypes: deb deb-src\nURIs: http://mirror.example/security\n"
        "Suites: bookworm-security\nComponents: main contrib\n"
    )
    assert base.mirrors(tmp_path) == base.Mirrors("http://mirror.example/pub/linux", "http://mirror.example/security")


def test_mirrors_in_the_older_format(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/x] http://vendor.example/debian/docker bookworm stable\n"
        "deb-src http://source.example/debian bookworm main\n"
        "deb http://mirror.example/debian bookworm main contrib\n"
    )
    assert base.mirrors(tmp_path) == base.Mirrors("http://mirror.example/debian", None)


def test_mirrors_kept_in_a_list(tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("# near\nhttps://near.example/debian\tpriority:1\nhttps://far.example/debian\n")
    (tmp_path / "sources.list").write_text(f"deb mirror+file:{tmp_path}/mirrors trixie main\n")
    assert base.mirrors(tmp_path).archive == "https://near.example/debian"


def test_ubuntu_has_no_debian_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "deb http://archive.example/ubuntu noble main\ndeb http://x/ubuntu noble-security main\n"
    )
    assert base.mirrors(tmp_path) == base.Mirrors(None, None)


def test_a_disabled_source_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n"
    )
    assert base.mirrors(tmp_path) == base.Mirrors(None, None)
