"""`inv build` and `inv push`: what they give a build, with the registry and the builder played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.image import build as images
from slipway.lab import images as lab_images
from slipway.lab import registry as registries
from slipway.target.compose import verbs
from slipway.target.compose.session import Access
from slipway.target.compose.workplace import Workplace
from tests.support import values
from tests.support.values import LAB, Played


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done, in order."""
    found: list[str] = []
    monkeypatch.setattr(lab_images, "ensure_all", lambda names: found.append(f"bases {', '.join(names)}"))
    monkeypatch.setattr(registries, "lend", lambda *_: None)
    monkeypatch.setattr(images, "build", lambda service, tags, labels, say: found.append(service.name))
    return found


def at(folder: Path, monkeypatch: pytest.MonkeyPatch, registry: Played, *, lab: bool, **more: Any) -> None:
    """Play the environment that the verb works on."""
    env, entry, stack = values.settings(folder, **more)
    place = Workplace(env, entry, stack, Access(None, folder / "known_hosts"), {}, lab=LAB if lab else None)
    monkeypatch.setattr(verbs, "_find", lambda *_, **__: place)
    monkeypatch.setattr(verbs, "RegistryClient", lambda *_: registry)

    def push(reference: str, *_: Any) -> None:
        registry.tags[reference.removeprefix("127.0.0.1:5000/")] = "sha256:new"

    monkeypatch.setattr(images, "push", push)


@pytest.mark.parametrize("verb", [verbs.build, verbs.push])
def test_a_labs_engine_has_the_base_images_before_the_first_build(
    verb: Any, tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(tmp_path, monkeypatch, Played(), lab=True)
    found = verb("here", None, "v1", yes=True)
    assert len(found[1] if isinstance(found, tuple) else list(found)) == 3
    assert done[0] == "bases python:3.13-slim-trixie"
    assert sorted(done[1:]) == ["extra", "tick", "web"]


def test_elsewhere_the_builder_pulls_them(tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    at(tmp_path, monkeypatch, Played(), lab=False)
    verbs.push("here", None, "v1", yes=True)
    assert sorted(done) == ["extra", "tick", "web"]


@pytest.mark.parametrize("allow_dirty", [True, False])
def test_a_version_is_pushed_once(
    allow_dirty: bool, tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where dirty trees may be deployed a name may move; elsewhere it is what it is."""
    registry = Played(**{"probe/web:v1": "sha256:other"})
    at(tmp_path, monkeypatch, registry, lab=False, allow_dirty=allow_dirty)
    if allow_dirty:
        verbs.push("here", None, "v1", yes=True)
        assert registry.tags["probe/web:v1"] == "sha256:new"
    else:
        with pytest.raises(BadInput, match="made from another source"):
            verbs.push("here", None, "v1", yes=True)
        assert registry.tags == {"probe/web:v1": "sha256:other"}
