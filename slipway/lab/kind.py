"""A throw-away cluster on this machine, by kind (https://kind.sigs.k8s.io): nodes are containers; and a registry for it.

Nodes find the registry under the name that this machine pushes to, as kind's own page on local registries tells:
https://kind.sigs.k8s.io/docs/user/local-registry/
"""

from __future__ import annotations

import shutil

from slipway import report
from slipway.errors import SlipwayError
from slipway.lab import engine, images
from slipway.process import run

NAME = "slipway"
CONTEXT = f"kind-{NAME}"
"""The context that kind writes into the kubeconfig."""
REGISTRY = "localhost:5600"
"""What this machine and the nodes call the registry."""
_REGISTRY, _NETWORK, _IMAGE = f"{NAME}-kind-registry", "kind", "registry:2"
_WITHIN = 300.0
# containerd of older node images reads certs.d only when told; newer ones pass over this.
_CLUSTER = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
"""


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
    if not _is_there():
        with report.step("Start a cluster with kind") as step:
            argv = ["kind", "create", "cluster", "--name", NAME, "--wait", "120s", "--config", "-"]
            done = run(argv, check=False, timeout=_WITHIN, on_line=step.say, stdin=_CLUSTER)
            if done.code != 0:
                raise SlipwayError("kind could not start a cluster", seen=done.tail(), todo="mend that, then again")
    return CONTEXT


def registry() -> str:
    """Start the cluster's registry, unless it is there, and tell each node where it is. Return what all call it.

    Raises:
        SlipwayError: the engine does not run it.
    """
    running = engine.docker("inspect", "--format", "{{.State.Running}}", _REGISTRY, check=False).out.strip()
    if running != "true":
        with report.step("Start its registry"):
            images.ensure(_IMAGE)
            _start()
    return REGISTRY


def down() -> bool:
    """Remove the cluster and its registry. Return whether there was one."""
    if not shutil.which("kind") or not _is_there():
        return False
    run(["kind", "delete", "cluster", "--name", NAME], timeout=_WITHIN)
    engine.docker("rm", "--force", "--volumes", _REGISTRY, check=False)
    return True


def _is_there() -> bool:
    return NAME in run(["kind", "get", "clusters"], check=False).out.split()


def _start() -> None:
    engine.docker("rm", "--force", "--volumes", _REGISTRY, check=False)  # one that did not start, its port was taken
    port = REGISTRY.rpartition(":")[2]
    engine.docker(
        "run", "--detach", "--restart", "always", "--name", _REGISTRY, "--publish", f"127.0.0.1:{port}:5000", "--network", _NETWORK,
        _IMAGE,
    )  # fmt: skip
    folder = f"/etc/containerd/certs.d/{REGISTRY}"
    for node in run(["kind", "get", "nodes", "--name", NAME]).out.split():
        engine.docker("exec", node, "mkdir", "-p", folder)
        text = f'[host."http://{_REGISTRY}:5000"]\n'
        engine.docker("exec", "--interactive", node, "cp", "/dev/stdin", f"{folder}/hosts.toml", stdin=text)
