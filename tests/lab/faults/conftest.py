"""The short form of `inv bench faults`: the same faults on the same arena, a few of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import load
from tests.support.faults import arena as arenas
from tests.support.faults.arena import Arena
from tests.support.faults.census import Census, left_over


@pytest.fixture(scope="package")
def whole() -> Iterator[Arena]:
    """The arena, serving."""
    with arenas.ready(3) as made:
        yield made


@pytest.fixture
def arena(whole: Arena) -> Iterator[Arena]:
    """The arena for one test; what it changes in the tree is taken back."""
    with whole.checkout.changed():
        yield whole


@pytest.fixture
def before(arena: Arena) -> dict[str, Census]:
    """What is on the hosts before the test; nothing of it is a stray."""
    found = arena.rest()
    assert left_over(found, found) == []
    return found


@pytest.fixture
def client(arena: Arena) -> Iterator[load.Client]:
    """Clients of each kind who ask while the test runs."""
    with arena.client() as running:
        running.wait(requests=20)
        yield running
