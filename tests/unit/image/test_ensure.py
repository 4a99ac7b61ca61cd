"""Which images of a version are there, get another name, or are built: with the registry and the builder played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.image import build as images
from slipway.image.registry import Refused
from slipway.lab import images as lab_images
from slipway.lab import registry as registries
from tests.support import values
from tests.support.values import LAB, Played


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is built; pushing gives the registry a digest."""
    found: list[str] = []
    monkeypatch.setattr(images, "build", lambda service, tags, labels, say: found.append(service.name))

    def push(reference: str, client: Any, password: str | None, say: Any) -> None:
        name = reference.removeprefix("127.0.0.1:5000/")
        client.tags[name] = f"sha256:built-{name.partition(':')[0]}"

    monkeypatch.setattr(images, "push", push)
    return found


NAMES = ("web", "extra", "tick")


def ensure(folder: Path, registry: Any, version: str, **options: Any) -> dict[str, tuple[str, str]]:
    _, _, stack = values.settings(folder)
    found = images.ensure(stack, registry, version, **options)
    return {name: (image.reference, image.origin) for name, image in found.items()}


def test_what_is_there_is_taken(tmp_path: Path, built: list[str]) -> None:
    registry = Played(**{f"probe/{n}:v1": f"sha256:{n}" for n in NAMES})
    found = ensure(tmp_path, registry, "v1", build=False)
    assert found == {n: (f"registry.lab:5000/probe/{n}@sha256:{n}", "registry") for n in NAMES}
    assert built == []


def test_a_version_that_must_exist(tmp_path: Path, built: list[str]) -> None:
    registry = Played(**{"probe/web:v1": "sha256:x"})
    with pytest.raises(BadInput, match="version v1 does not exist") as caught:
        ensure(tmp_path, registry, "v1", build=False)
    assert "probe/extra, probe/tick" in caught.value.seen
    assert "probe/web" not in caught.value.seen
    assert built == []


def test_what_lacks_is_built_and_pushed(tmp_path: Path, built: list[str]) -> None:
    registry = Played(**{"probe/web:v1": "sha256:web"})
    found = ensure(tmp_path, registry, "v1", build=True)
    assert sorted(built) == ["extra", "tick"]
    assert found["web"][1] == "registry"
    assert found["extra"] == ("registry.lab:5000/probe/extra@sha256:built-probe/extra", "built")


def test_a_registry_that_takes_tags_from_the_docker_commands_own_login_alone(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: str) -> None:
        raise Refused("the registry refused", seen="PUT probe/web/manifests/v1: 401")

    registry = Played()
    monkeypatch.setattr(registry, "retag", refuse)
    ensure(tmp_path, registry, "v1", build=True)
    assert {f"probe/{name}:v1" for name in NAMES} <= set(registry.tags)


def test_the_same_source_is_not_built_twice(tmp_path: Path, built: list[str]) -> None:
    registry = Played()
    first = ensure(tmp_path, registry, "v1", build=True)
    built.clear()
    second = ensure(tmp_path, registry, "v2", build=True)
    assert built == []
    assert {n: r for n, (r, _) in second.items()} == {n: r for n, (r, _) in first.items()}
    assert {origin for _, origin in second.values()} == {"tagged"}
    assert registry.tags["probe/web:v2"] == registry.tags["probe/web:v1"]


def test_a_version_stays_what_it_is(tmp_path: Path, built: list[str]) -> None:
    """A name that another source has already is refused, before anything is built; looking says so as well."""
    taken = {"probe/web:name": "sha256:other"}
    for dry in (True, False):
        registry = Played(**taken)
        with pytest.raises(BadInput, match="version name exists, and was made from another source") as caught:
            ensure(tmp_path, registry, "name", build=True, rebuild=True, dry=dry)
        assert "probe/web" in caught.value.seen
        assert "probe/extra" not in caught.value.seen
        assert (built, registry.tags) == ([], taken)


def test_a_name_moves_to_this_tree_where_that_is_allowed(tmp_path: Path, built: list[str]) -> None:
    registry = Played(**{f"probe/{n}:name": "sha256:other" for n in NAMES})
    found = ensure(tmp_path, registry, "name", build=True, rebuild=True, overwrite=True)
    assert sorted(built) == sorted(NAMES)
    assert found["web"][0].endswith("sha256:built-probe/web")


def test_a_name_that_this_very_source_has_is_no_change(tmp_path: Path, built: list[str]) -> None:
    registry = Played()
    first = ensure(tmp_path, registry, "name", build=True, rebuild=True)
    built.clear()
    again = ensure(tmp_path, registry, "name", build=True, rebuild=True)
    assert built == []
    assert {n: r for n, (r, _) in again.items()} == {n: r for n, (r, _) in first.items()}
    assert {origin for _, origin in again.values()} == {"registry"}


def test_a_version_is_never_there_without_what_tells_its_source(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the push and the version's name, the same command goes on."""
    registry = Played()

    def killed(name: str, digest: str, tag: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(registry, "retag", killed)
        ensure(tmp_path, registry, "name", build=True, rebuild=True)
    assert registry.tags
    assert not [tag for tag in registry.tags if tag.endswith(":name")]
    assert set(ensure(tmp_path, registry, "name", build=True, rebuild=True)) == set(NAMES)


def test_looking_builds_and_tags_nothing(tmp_path: Path, built: list[str]) -> None:
    registry = Played()
    found = ensure(tmp_path, registry, "v1", build=True, dry=True)
    assert built == []
    assert registry.tags == {}
    assert "to be built" in found["web"][0]


def test_a_labs_engine_gets_base_images_before_a_build_only(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(lab_images, "ensure_all", asked.append)
    known: list[str] = []
    monkeypatch.setattr(registries, "lend", lambda registry, image, repository: known.append(f"{repository}: {image}"))
    registry = Played()
    ensure(tmp_path, registry, "v1", build=True, lab=LAB, dry=True)
    ensure(tmp_path, registry, "v1", build=True, lab=LAB)
    ensure(tmp_path, registry, "v1", build=True, lab=LAB)
    ensure(tmp_path, registry, "v2", build=True)
    assert asked == [["python:3.13-slim-trixie"]]
    assert known == [f"probe/{name}: python:3.13-slim-trixie" for name in NAMES], "its layers are not pushed again"
