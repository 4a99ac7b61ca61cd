"""Images named by digest: exactly those, of exactly the stack's services, if the registry has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.image import exact
from slipway.image.build import Image
from slipway.settings.model import Stack
from tests.support import values
from tests.support.values import Played

A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
DIGESTS = {"web": A, "extra": B, "tick": C}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return values.settings(tmp_path)[2]


def registry(**more: str) -> Any:
    """Return a registry that has the images; their tags are others by now."""
    return Played(**{f"probe/{n}:{d}": d for n, d in DIGESTS.items()}, **{"probe/web:v1": "sha256:moved"}, **more)


def test_what_is_written_is_read() -> None:
    assert exact.write(DIGESTS) == f"extra={B},tick={C},web={A}"
    assert exact.read(exact.write(DIGESTS)) == DIGESTS


@pytest.mark.parametrize("text", ["", "web", "web=v1", f"web={A},web={B}", f"web={A},", f"web={A[:-1]}", f"$(x)={A}"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--images is not a list of services and digests"):
        exact.read(text)


def test_tags_are_not_asked(stack: Stack) -> None:
    found = exact.exactly(stack, registry(), DIGESTS)
    assert found["web"] == Image("web", f"registry.lab:5000/probe/web@{A}", "registry")
    assert {n: i.reference.partition("@")[2] for n, i in found.items()} == DIGESTS


def test_what_the_registry_lacks_is_refused(stack: Stack) -> None:
    with pytest.raises(BadInput, match="the image of web does not exist in the registry") as caught:
        exact.exactly(stack, registry(), {**DIGESTS, "web": B})
    assert f"probe/web@{B}" in caught.value.seen


def test_another_stack_file_than_theirs_is_refused(stack: Stack) -> None:
    with pytest.raises(BadInput, match="not those of this stack file") as caught:
        exact.exactly(stack, registry(), {"web": A, "extra": B, "gone": C})
    assert caught.value.seen == "without a digest: tick; no service of it: gone"


def test_somebody_elses_image_by_digest(tmp_path: Path) -> None:
    aside = {"image": "nginx:1.27", "x-slipway": {"role": "app"}, "healthcheck": {"test": ["CMD", "true"]}}
    _, _, stack = values.settings(tmp_path, services={"aside": aside})
    found = exact.exactly(stack, registry(), {**DIGESTS, "aside": A})
    assert found["aside"] == Image("aside", f"nginx@{A}", "named")
