"""A node that restarts, where the test may have it restarted; and many deploys in a row, where there is time.

SLIPWAY_TEST_RESTART_NODE   a command that restarts a node of the cluster and returns once that is under way
SLIPWAY_TEST_LONG           twenty deploys and rollbacks under load
"""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from tests.support import load
from tests.support.onkube import OnKube


@pytest.mark.skipif("SLIPWAY_TEST_LONG" not in os.environ, reason="SLIPWAY_TEST_LONG is not set")
@pytest.mark.parametrize("strategy", ["rolling", "blue-green"])
def test_ten_changes_of_version_under_load(kube: OnKube, strategy: str) -> None:
    name = "many" if strategy == "rolling" else "manybg"
    kube.environment(name, strategy=strategy)
    try:
        for label in ("one", "two"):
            kube.version(label)
            kube.inv("deploy", "--build", "--version", label).ok()
        with load.running(kube.door(), "new=20", load.PROBE) as client:
            for number in range(10):
                label = ("one", "two")[number % 2]
                kube.inv(*(("rollback",) if number % 3 == 2 else ("deploy", "--version", label))).ok()
        assert not client.report.failed, client.report.text()
        print(strategy, client.report.text())
    finally:
        kube.forget(name)


@pytest.mark.skipif("SLIPWAY_TEST_RESTART_NODE" not in os.environ, reason="SLIPWAY_TEST_RESTART_NODE is not set")
def test_a_node_that_restarts_comes_back_whole(site: OnKube) -> None:
    subprocess.run(os.environ["SLIPWAY_TEST_RESTART_NODE"], shell=True, check=True, timeout=120)
    until = time.monotonic() + 180
    while time.monotonic() < until and site.inv("status").code:
        time.sleep(1)
    found = site.status()
    assert found["healthy"], found["problems"]
    assert found["release"]["version"] == "one"
    site.version("two")
    site.inv("deploy", "--build", "--version", "two").ok()
