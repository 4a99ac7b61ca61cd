"""Every overlay of this repository, as kustomize renders it."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.settings import load
from slipway.target.kubernetes import kubectl as own
from tests.support import kubectl

OVERLAYS = sorted(p.parent for p in (load.root() / "k8s").glob("*/overlays/*/kustomization.yaml"))


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[dict[str, Any]]]:
    """Rendered manifests by `stack/environment`."""
    kubectl.ensure()
    return {f"{o.parts[-3]}/{o.parts[-1]}": own.render(o.parts[-3], o.parts[-1]) for o in OVERLAYS}


@pytest.fixture(params=[f"{o.parts[-3]}/{o.parts[-1]}" for o in OVERLAYS])
def overlay(request: pytest.FixtureRequest, rendered: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The manifests of one overlay."""
    return rendered[request.param]
