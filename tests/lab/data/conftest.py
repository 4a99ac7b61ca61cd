"""The lab that tests of data share: it starts when the first of them asks, and goes with this process, however that ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import books as data
from tests.support import checkout as checkouts
from tests.support import stacks
from tests.support.checkout import Checkout
from tests.support.site import Site


@pytest.fixture(scope="package")
def archive() -> Iterator[Checkout]:
    """A checkout with `books`, `library` and `probe`, and the environment `lab` of one host that lists them."""
    made = checkouts.make()
    stacks.add_probe(made)
    stacks.add_library(made)
    stacks.add_books(made)
    listed = "[{name: books, port: 8397}, {name: library, port: 8396}, {name: probe, port: 8300}]"
    stacks.environment(made, "lab", listed, backup="{repository: /var/backups/slipway/lab}")
    made.commit("stacks with data")
    yield made
    made.remove()


@pytest.fixture(scope="package")
def books(archive: Checkout) -> Site:
    """The stack `books`, deployed, with rows, keys and files; all of it is kept, and nothing backed up yet."""
    site = Site(archive, "lab", "books", 8397)
    site.deploy().ok()
    data.fill(site)
    return site
