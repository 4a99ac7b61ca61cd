"""Twenty deploys and rollbacks in a row on a real cluster, rolling and blue-green, under load: nobody notices."""

from __future__ import annotations

import time

import pytest

from tests.support import load
from tests.support.onkube import OnKube

_CHANGES = 10
"""Of each strategy."""


@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_ten_deploys_and_rollbacks_under_load(kube: OnKube, strategy: str) -> None:
    """By clients with a connection for each request, and by some that keep theirs, to a proxy that asks again.

    A connection that is kept to the Service itself ends with its pod: docs/kubernetes.md tells why that may cost a request.
    """
    name = f"many{strategy[:1]}"
    kube.environment(name, strategy=strategy)
    try:
        for label in ("one", "two"):
            kube.deploy(label)
        kept = kube.ingress()
        with (
            load.running(kube.door(), "new=20", load.PROBE) as client,
            load.running(kept, "keep-alive=8x0.05", load.PROBE) as keeper,
        ):
            for number in range(_CHANGES):
                back = number % 3 == 2
                kube.inv(*(("rollback",) if back else ("deploy", "--version", ("one", "two")[number % 2]))).ok()
                client.wait(requests=int(client.counts()["requests"]) + 20)
            time.sleep(1)
        for one in (client, keeper):
            assert not one.report.failed, one.report.text()
            assert one.report.requests > 200
            assert len(one.report.releases) == 2, "both versions answered"
    finally:
        kube.forget(name)
