"""A node that restarts, where the tests may have it restarted:

    SLIPWAY_TEST_RESTART_NODE    a command that restarts a node of the cluster, and returns once it goes down
                                 (kind: `docker restart NAME-control-plane`)

No cluster restarts its nodes by its API, so without that command this is left out.
"""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from tests.support.onkube import OnKube

_COMMAND = "SLIPWAY_TEST_RESTART_NODE"
_WITHIN = 240


@pytest.mark.skipif(
    _COMMAND not in os.environ, reason=f"{_COMMAND} is not set: how to restart a node is the cluster's affair"
)
def test_a_node_that_restarts_comes_back_whole(site: OnKube) -> None:
    before = restarts(site)
    subprocess.run(os.environ[_COMMAND], shell=True, check=True, timeout=180)
    until = time.monotonic() + _WITHIN
    while restarts(site) <= before or site.inv("status").code:
        assert time.monotonic() < until, site.inv("status").text
        time.sleep(1)
    found = site.status()
    assert found["healthy"], found["problems"]
    assert found["release"]["version"] == "one"
    assert found["release"]["verified"]
    site.version("two")
    site.inv("deploy", "--build", "--version", "two").ok()
    assert site.live() == "two"
    site.inv("rollback").ok()
    assert site.live() == "one"


def restarts(site: OnKube) -> int:
    """Return how many containers of the namespace were started again; -1 while the API server is away."""
    told = site.kubectl(
        "get", "pods", "--output", "jsonpath={.items[*].status.containerStatuses[*].restartCount}", check=False
    )
    return sum(map(int, told.split())) if told else -1
