"""Tests on a real cluster, whichever is given:

    SLIPWAY_TEST_KUBECONFIG       kubeconfig whose current context may make and remove namespaces
    SLIPWAY_TEST_REGISTRY         registry (host:port, plain HTTP) as the nodes pull from it; all images are pushed there
    SLIPWAY_TEST_REGISTRY_PUSH    the same as this machine's engine pushes to it (default: the same name)

They make namespaces of their own and remove them. They need no cloud's load balancer,
no ingress controller and no metrics server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.lab import engine, images
from tests.support import checkout as checkouts
from tests.support import kubectl
from tests.support.onkube import OnKube

MISSING = "no cluster is given: set SLIPWAY_TEST_KUBECONFIG and SLIPWAY_TEST_REGISTRY (docs/kubernetes.md)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of them where no cluster is given."""
    given = os.environ.get("SLIPWAY_TEST_KUBECONFIG") and os.environ.get("SLIPWAY_TEST_REGISTRY")
    for item in items:
        if Path(__file__).parent in item.path.parents and not given:
            item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="session")
def kube() -> Iterator[OnKube]:
    """A checkout with the stack `probe` and environments on the cluster; namespaces go in the end."""
    kubectl.ensure()
    registry = os.environ["SLIPWAY_TEST_REGISTRY"]
    push = os.environ.get("SLIPWAY_TEST_REGISTRY_PUSH", registry)
    found = OnKube(checkouts.make(), os.environ["SLIPWAY_TEST_KUBECONFIG"], registry, push)
    try:
        for name in ("python:3.13-slim-trixie", "redis:8", "postgres:17"):
            images.ensure(name)
            if not name.startswith("python"):
                engine.docker("tag", name, f"{push}/{name}")
                engine.docker("push", "--quiet", f"{push}/{name}")
                engine.docker("rmi", f"{push}/{name}")
        yield found
    finally:
        found.remove()


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
