"""Tests on a real cluster, whichever is given:

    SLIPWAY_TEST_KUBECONFIG       kubeconfig whose current context may make and remove namespaces
    SLIPWAY_TEST_REGISTRY         registry (host:port, plain HTTP) as the nodes pull from it; all images are pushed there
    SLIPWAY_TEST_REGISTRY_PUSH    the same as this machine's engine pushes to it (default: the same name)

They make namespaces of their own and remove them. They need no cloud's load balancer,
no ingress controller and no metrics server.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import onkube
from tests.support.onkube import OnKube


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of them where no cluster is given."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not onkube.given():
            item.add_marker(pytest.mark.skip(reason=onkube.MISSING))


@pytest.fixture(scope="session")
def kube() -> Iterator[OnKube]:
    """A checkout with the stack `probe` and environments on the cluster; namespaces go in the end."""
    with onkube.opened() as found:
        yield found


@pytest.fixture(scope="module")
def site(kube: OnKube, request: pytest.FixtureRequest) -> Iterator[OnKube]:
    """The same with an environment of this module's own, in which version `one` of `probe` is live."""
    name = request.module.__name__.rpartition("_")[2][:12]
    kube.environment(name, strategy=getattr(request.module, "STRATEGY", "rolling"))
    try:
        kube.version("one")
        kube.inv("deploy", "--build", "--version", "one").ok()
        yield kube
    finally:
        kube.forget(name)
