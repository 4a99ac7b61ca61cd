"""Verification on a cluster: a suite of tests/verify/kubernetes, which asks the API server and looks into pods by kubectl."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway import report
from slipway.errors import SlipwayError
from slipway.settings.load import root
from slipway.target.kubernetes import kubectl
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.facts import Facts, ready
from slipway.target.kubernetes.workplace import Place

_TESTS = Path(__file__).resolve().parents[3] / "tests" / "verify" / "kubernetes"


class Verifier:
    """A suite that is started ahead, has its imports behind it, and waits for the facts."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._folder = Path(tempfile.mkdtemp(prefix="slipway-verify-"))
        argv: list[str | Path] = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            _TESTS / "pytest.ini",
            f"--confcutdir={_TESTS}",
            _TESTS / "deploy",
        ]
        env = {
            **os.environ, **kubectl.SPDY,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTHONDONTWRITEBYTECODE": "",
            "SLIPWAY_VERIFY_FACTS": str(self._folder / "facts.json"), "SLIPWAY_VERIFY_PARENT": str(os.getpid()),
            "SLIPWAY_VERIFY_RESULTS": str(self._folder / "results.json"),
        }  # fmt: skip
        self._process = subprocess.Popen(
            argv,
            cwd=root(),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Give it the facts. Raises SlipwayError where it finds anything, or breaks off."""
        with report.step(f"Verify {self.step}") as step:
            self._hand_over(facts)
            out, _ = self._process.communicate(timeout=300)
            path = self._folder / "results.json"
            results = json.loads(path.read_text()) if path.exists() else {}
            if not results or self._process.returncode not in (0, 1):
                raise SlipwayError(f"the suite {self.step} broke off", seen="\n".join(out.splitlines()[-15:]))
            failed = results["failures"]
            step.done(f"{results['passed']} checks passed" + (f", {len(failed)} failed" if failed else ""))
        if failed:
            seen = "\n".join(f"{name.replace('_', ' ')}: {message}" for name, message in failed)
            raise SlipwayError(f"{len(failed)} checks of the suite {self.step} failed", seen=seen)

    def close(self) -> None:
        """End it, if it still waits."""
        if self._process.poll() is None:
            self._hand_over({})
            try:
                self._process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hand_over(self, facts: Mapping[str, Any]) -> None:
        part = self._folder / "part"
        part.write_text(json.dumps(dict(facts)))
        part.replace(self._folder / "facts.json")


def pods_of(facts: Facts, release: str, meta: Mapping[str, Any]) -> dict[str, str]:
    """Return a pod of each service that the suite looks into."""
    found = {name: [p for p in facts.pods_of(name, release) if ready(p)] for name in meta["services"]}
    return {name: str(pods[0]["metadata"]["name"]) for name, pods in found.items() if pods}


def facts_of(place: Place, connection: Cluster, release: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the suite compares the cluster with, but for `pods`: see `pods_of`. The connection stays until its end."""
    cluster = kubectl.cluster_of(place.env)
    services = {
        name: {
            "digest": str(meta["images"][name]).partition("@")[2],
            "routed": service["routed"],
            "secrets": list(place.stack.service(name).secrets)
            if name in {s.name for s in place.stack.services}
            else [],
            "read_only": _read_only(place, name),
        }
        for name, service in meta["services"].items()
    }
    there = {m["metadata"]["name"] for m in place.overlay.accessories if m["kind"] == "StatefulSet"}
    file = {"kubeconfig": str(Path(cluster.kubeconfig).expanduser())} if cluster.kubeconfig else {}
    return {
        "namespace": place.namespace, "release": release, "services": services, "socket": connection.socket,
        "accessories": [s.name for s in place.stack.of_role("accessory") if s.name in there],
        "cluster": {"context": cluster.context, **file},
    }  # fmt: skip


def _read_only(place: Place, name: str) -> bool:
    found = [m for m in place.overlay.apps if m["kind"] == "Deployment" and m["metadata"]["name"] == name]
    return any(
        c.get("securityContext", {}).get("readOnlyRootFilesystem")
        for m in found
        for c in m["spec"]["template"]["spec"]["containers"]
    )
