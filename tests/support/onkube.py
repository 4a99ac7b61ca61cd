"""A checkout whose environments are on a real cluster, and kubectl to look behind Slipway's back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from slipway.lab import engine, images
from tests.support import checkout as checkouts
from tests.support import kubectl, stacks
from tests.support.checkout import Checkout, Result, Running

_HERE = Path(__file__).parent
MISSING = "no cluster is given: set SLIPWAY_TEST_KUBECONFIG and SLIPWAY_TEST_REGISTRY (docs/kubernetes.md)"


def given() -> bool:
    """Tell whether there is a cluster to test on."""
    return bool(os.environ.get("SLIPWAY_TEST_KUBECONFIG") and os.environ.get("SLIPWAY_TEST_REGISTRY"))


@contextlib.contextmanager
def opened() -> Iterator[OnKube]:
    """A checkout with the stack `probe` on the cluster that is given by variables, accessories' images in its registry."""
    kubectl.ensure()
    registry = os.environ["SLIPWAY_TEST_REGISTRY"]
    push = os.environ.get("SLIPWAY_TEST_REGISTRY_PUSH", registry)
    found = OnKube(checkouts.make(), os.environ["SLIPWAY_TEST_KUBECONFIG"], registry, push)
    try:
        for name in ("python:3.13-slim-trixie", "redis:8", "postgres:17"):
            images.ensure(name)
            if not name.startswith("python"):
                found.bring(name)
        yield found
    finally:
        found.remove()


class OnKube:
    """The stack `probe` on a cluster.

    Args:
        checkout: a copy of this tree.
        kubeconfig: its current context is the cluster.
        registry: as nodes see it.
        push: as this machine does.
    """

    def __init__(self, checkout: Checkout, kubeconfig: str, registry: str, push: str) -> None:
        self.checkout, self.kubeconfig, self.registry, self.push = checkout, kubeconfig, registry, push
        self.context = subprocess.run(
            ["kubectl", "--kubeconfig", kubeconfig, "config", "current-context"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        self.env, self.made = "", list[str]()
        stacks.add_probe(checkout)
        shutil.copytree(_HERE / "cluster", checkout.path / "k8s/probe/base")
        checkout.env["SLIPWAY_VAULT_PASSWORD"] = "of tests"
        self.unique = f"{time.time():.0f}"[-6:]

    def environment(self, name: str, *, strategy: str = "rolling", stack: str = "probe", **more: Any) -> str:
        """Make an environment and its overlay, and go on there. Its namespace is its own on every cluster."""
        env = f"{name}{self.unique}"
        document = {
            "target": "kubernetes",
            "kubernetes": {"context": self.context, "kubeconfig": self.kubeconfig, "strategy": strategy},
            "registry": {"push": self.push, "pull": self.registry, "insecure": True},
            "allow_dirty": True,
            "stacks": [stack],
            **more,
        }
        self.checkout.write(f"envs/{env}.yml", json.dumps(document))
        self.overlay(env, stack)
        self.env, self.stack = env, stack
        self.made.append(self.namespace)
        self.inv("secrets.init").ok()
        self.checkout.commit(env)  # what a test changes is taken back to here
        return env

    def overlay(self, env: str, stack: str, *patches: Mapping[str, Any]) -> None:
        """Write an overlay, with further patches."""
        folder, namespace = f"k8s/{stack}/overlays/{env}", f"{stack}-{env}"
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}
        self.checkout.write(f"{folder}/namespace.yaml", yaml.safe_dump(space))
        images = [{"name": n, "newName": f"{self.registry}/{n}"} for n in ("redis", "postgres")]
        document = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": namespace,
            "resources": ["../../base", "namespace.yaml"], "images": images, "patches": list(patches),
        }  # fmt: skip
        self.checkout.write(f"{folder}/kustomization.yaml", yaml.safe_dump(document))

    def add_job(self, name: str, code: str) -> None:
        """Give the stack `probe` a job that runs Python in its image, in the stack file and in the manifests."""
        stacks.add_job(self.checkout, name, code, user="10001:10001")
        base = "k8s/probe/base"
        deployment = next(yaml.safe_load_all(self.checkout.read(f"{base}/probe.yaml")))
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for key in ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "volumeMounts"):
            container.pop(key)
        container |= {
            "name": name,
            "args": ["python", "-c", code],
            "envFrom": [{"configMapRef": {"name": f"{name}-settings"}}],
        }
        pod = {**deployment["spec"]["template"]["spec"], "restartPolicy": "Never", "volumes": []}
        spec = {"template": {"metadata": {"labels": {"app.kubernetes.io/name": name}}, "spec": pod}}
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        self.checkout.write(f"{base}/{name}.yaml", yaml.safe_dump(job))
        file = f"{base}/kustomization.yaml"
        document = yaml.safe_load(self.checkout.read(file))
        document["resources"].append(f"{name}.yaml")
        self.checkout.write(file, yaml.safe_dump(document))

    @contextlib.contextmanager
    def patched(self, deployment: str, *changes: tuple[str, str, Any]) -> Iterator[None]:
        """Have the overlay patch a Deployment for a block.

        Args:
            deployment: which.
            changes: each `op` (of JSON Patch), path and value.
        """
        listed = [{"op": op, "path": path, "value": value} for op, path, value in changes]
        target = {"kind": "Deployment", "name": deployment}
        self.overlay(self.env, self.stack, {"target": target, "patch": json.dumps(listed)})
        try:
            yield
        finally:
            self.overlay(self.env, self.stack)

    @property
    def namespace(self) -> str:
        """The environment's."""
        return f"{self.stack}-{self.env}"

    def version(self, label: str, mode: str = "good", **more: object) -> None:
        """Make the tree another version of `probe`."""
        stacks.behave(self.checkout, label, mode, **more)

    def inv(self, verb: str, *argv: str, timeout: float = 300, **env: str) -> Result:
        """Run a verb on the environment."""
        return self.checkout.inv(verb, "--env", self.env, *argv, timeout=timeout, **env)

    def start(self, verb: str, *argv: str, **env: str) -> Running:
        """Start a verb on the environment."""
        return self.checkout.start(verb, "--env", self.env, *argv, **env)

    def deploy(self, label: str, *, mode: str = "good", code: int = 0, **more: object) -> Result:
        """Build and deploy a version."""
        self.version(label, mode, **more)
        return self.inv("deploy", "--build", "--version", label).exits(code)

    @property
    def kubectl_argv(self) -> list[str]:
        """The beginning of a command."""
        return ["kubectl", "--kubeconfig", self.kubeconfig, "--namespace", self.namespace]

    def kubectl(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace."""
        done = subprocess.run([*self.kubectl_argv, *argv], capture_output=True, text=True, check=False, input=stdin)
        assert done.returncode == 0 or not check, f"kubectl {argv}: {done.stderr}"
        return done.stdout.strip()

    def get(self, *argv: str) -> Any:
        """Return objects as values."""
        return json.loads(self.kubectl("get", *argv, "--output", "json"))

    def status(self) -> dict[str, Any]:
        """Return the status document."""
        return dict(self.inv("status", "--format", "json").json())

    def live(self) -> str:
        """Return the version that serves."""
        release = self.status()["release"]
        return str(release["version"]) if release else ""

    def door(self, service: str = "web") -> str:
        """Return where a Service's NodePort is reached."""
        port = self.get("service", service)["spec"]["ports"][0]["nodePort"]
        (node, *_) = self.get("nodes")["items"]
        address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        return f"http://{address}:{port}"

    def settle(self, within: float = 90) -> None:
        """Wait until no pod is being ended."""
        until = time.monotonic() + within
        while any("deletionTimestamp" in p["metadata"] for p in self.get("pods")["items"]):
            assert time.monotonic() < until, "pods do not end"
            time.sleep(1)

    def objects(self) -> set[str]:
        """Return all that Slipway manages in the namespace, by kind and name."""
        kinds = (
            "deployments,statefulsets,services,configmaps,secrets,jobs,horizontalpodautoscalers,poddisruptionbudgets"
        )
        found = self.kubectl("get", kinds, "--selector", "app.kubernetes.io/managed-by=slipway", "--output", "name")
        return set(found.split())

    def bring(self, image: str) -> str:
        """Put an official image into the cluster's registry. Return what nodes call it."""
        images.ensure(image)
        engine.docker("tag", image, f"{self.push}/{image}")
        engine.docker("push", "--quiet", f"{self.push}/{image}")
        engine.docker("rmi", f"{self.push}/{image}")
        return f"{self.registry}/{image}"

    def ingress(self) -> str:
        """Start a proxy before the service `web`, as an Ingress controller is one. Return where it is reached."""
        text = (_HERE / "ingress.yaml").read_text().replace("IMAGE", self.bring("haproxy:3.0"))
        self.kubectl("apply", "--filename", "-", stdin=text)
        self.kubectl("rollout", "status", "deployment/ingress", "--timeout=120s")
        return self.door("ingress")

    def forget(self, name: str) -> None:
        """Remove an environment's namespace."""
        space = f"probe-{name}{self.unique}"
        if space in self.made:
            subprocess.run(
                ["kubectl", "--kubeconfig", self.kubeconfig, "delete", "namespace", space, "--wait=false"],
                capture_output=True, check=False,
            )  # fmt: skip
            self.made.remove(space)

    def remove(self) -> None:
        """Remove what is left."""
        for space in self.made:
            subprocess.run(
                ["kubectl", "--kubeconfig", self.kubeconfig, "delete", "namespace", space, "--wait=false"],
                capture_output=True, check=False,
            )  # fmt: skip
        self.checkout.labs.clear()  # none was started
        self.checkout.remove()
