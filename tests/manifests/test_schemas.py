"""What is applied is what API servers of three minors know (the oldest, the newest, one between); unknown fields are errors."""

from __future__ import annotations

import functools
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils

from slipway.settings import load
from slipway.settings.model import Environment
from slipway.target.kubernetes import manifests
from slipway.target.kubernetes import overlay as overlays
from tests.support.values import released

MINORS = ("1.27", "1.33", "1.37")


@pytest.fixture(scope="module", autouse=True)
def _read_once() -> None:
    utils.schema_contents = functools.cache(utils.schema_contents)


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("beside", [False, True], ids=["rolling", "blue-green"])
def test_all_that_is_applied(overlay: list[dict[str, Any]], minor: str, beside: bool) -> None:
    for manifest in applied(overlay, beside):
        try:
            kubernetes_validate.validate(manifest, minor, strict=True)
        except kubernetes_validate.ValidationError as error:
            path = ".".join(map(str, error.path))
            pytest.fail(f"{manifest['kind']} {manifest['metadata']['name']}: {path}: {error.message}")


def applied(overlay: list[dict[str, Any]], beside: bool) -> list[dict[str, Any]]:
    space = next(m for m in overlay if m["kind"] == "Namespace")
    env = space["metadata"]["name"].removeprefix("fineasy-")
    found, values = released(overlay, on_cluster(load.environment(env)), beside=beside)
    return [space, *found, *manifests.accessory_manifests(overlays.read(overlay, values.stack, env), values)]


def on_cluster(env: Environment) -> Environment:
    """Return an environment of hosts as one on a cluster."""
    return env.model_copy(update={"target": "kubernetes", "hosts": ()})


def test_a_field_that_does_not_exist_is_seen(overlay: list[dict[str, Any]]) -> None:
    deployment = next(m for m in applied(overlay, False) if m["kind"] == "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError, match="replica_count"):
        kubernetes_validate.validate(
            {**deployment, "spec": {**deployment["spec"], "replica_count": 1}}, "1.33", strict=True
        )
