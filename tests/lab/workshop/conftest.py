"""The lab that these tests share: it starts when the first of them asks, and goes with this process, however that ends."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from tests.support import checkout as checkouts
from tests.support import samples, stacks
from tests.support.checkout import Checkout
from tests.support.site import Site


@pytest.fixture(scope="package")
def workshop() -> Iterator[Checkout]:
    """A checkout with stacks for tests, the page's `hello` among them, and the environment `lab` of one host that lists them."""
    made = checkouts.make()
    stacks.add_probe(made)
    stacks.add_single(made, "fresh")
    stacks.add_single(made, "other")
    stacks.add_single(made, "guest")
    stacks.add_scribe(made)
    samples.write(made.path / "docs/stacks.md", made.path)
    hello = yaml.safe_load(made.read("envs/hello.yml"))["stacks"]
    listed = (
        "[{name: probe, port: 8300}, {name: fresh, port: 8300, domain: fresh.test}, {name: other, port: 8398},"
        f" {{name: scribe, port: 8395}}, {json.dumps(hello)[1:-1]}]"
    )
    stacks.environment(made, "lab", listed)
    made.commit("stacks for tests")
    yield made
    made.remove()


@pytest.fixture(scope="package")
def served(workshop: Checkout) -> Site:
    """The stack `probe`, deployed."""
    site = Site(workshop, "lab", "probe", 8300)
    site.deploy().ok()
    return site


@pytest.fixture
def probe(served: Site) -> Iterator[Site]:
    """The same for one test, which finds it healthy; what it changes in the tree is taken back."""
    with served.checkout.changed():
        yield served
