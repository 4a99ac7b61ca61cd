"""A throw-away cluster on this machine, by kind (https://kind.sigs.k8s.io): nodes are containers."""

from __future__ import annotations

import shutil

from slipway import report
from slipway.errors import SlipwayError
from slipway.process import run

NAME = "slipway"
CONTEXT = f"kind-{NAME}"
"""The context that kind writes into the kubeconfig."""
_WITHIN = 300.0


def up() -> str:
    """Start the cluster, unless it is there. Return its context.

    Raises:
        SlipwayError: kind is missing, or does not start one (it tells why: its node image can't be pulled, for instance).
    """
    if not shutil.which("kind"):
        raise SlipwayError(
            "kind is not installed: it makes the cluster",
            todo="install it (https://kind.sigs.k8s.io/docs/user/quick-start/), or give the context of any other cluster:"
            " docs/kubernetes.md",
        )
    if NAME in run(["kind", "get", "clusters"], check=False).out.split():
        return CONTEXT
    with report.step("Start a cluster with kind") as step:
        done = run(
            ["kind", "create", "cluster", "--name", NAME, "--wait", "120s"],
            check=False,
            timeout=_WITHIN,
            on_line=step.say,
        )
        if done.code != 0:
            raise SlipwayError("kind could not start a cluster", seen=done.tail(), todo="mend that, then again")
    return CONTEXT


def down() -> bool:
    """Remove the cluster. Return whether there was one."""
    if not shutil.which("kind") or NAME not in run(["kind", "get", "clusters"], check=False).out.split():
        return False
    run(["kind", "delete", "cluster", "--name", NAME], timeout=_WITHIN)
    return True
