"""`inv bench kube`: deploys on a real cluster, against `kubectl apply -k` and `rollout status`. More in docs/benchmarks.md.

The cluster and its registry are given as for tests/kube. Exit code 1 where a must is missed, or none is given.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
from statistics import median
from typing import Any

import yaml

from tests.bench import table
from tests.bench.stage import say
from tests.bench.table import Row
from tests.support import onkube
from tests.support.onkube import OnKube

_STACK, _DEPLOYMENTS = "fineasy", ("api", "worker")
_KINDS = "serviceaccounts,networkpolicies,services,poddisruptionbudgets,deployments,horizontalpodautoscalers,ingresses"
_OF_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def main() -> int:
    """Measure, print, write. Return the exit code."""
    arguments = _arguments()
    if not onkube.given():
        sys.exit(onkube.MISSING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raw: dict[str, Any] = {}
    with onkube.opened() as site:
        _ready(site)
        rounds = 15 if arguments.long else arguments.rounds
        rows = [_new_version(site, rounds, raw), _nothing_to_do(site, raw), _status(site, raw)]
    command = "inv bench kube" + (" --long" if arguments.long else "")
    print(table.text(rows))
    print(f"\n{table.write('kube', command, rows, raw)}")
    if arguments.document:
        table.document_it("kube")
    return int(any(row.verdict == "MISSED" for row in rows))


def _ready(site: OnKube) -> None:
    """Deploy fineasy from this repository's base, with requests that a small cluster has room for."""
    requests = "/spec/template/spec/containers/0/resources/requests"
    change = [{"op": "replace", "path": requests, "value": {"cpu": "20m", "memory": "64Mi"}}]
    env = site.environment("bench", stack=_STACK)
    site.overlay(env, _STACK, {"target": {"kind": "Deployment"}, "patch": json.dumps(change)})
    say("a first deploy")
    _push(site, "first")
    site.inv("deploy", "--version", "first", timeout=900).ok()


def _push(site: OnKube, name: str) -> dict[str, str]:
    """Put a version into the registry whose images differ in a layer from all others. Return references by service."""
    site.checkout.write(f"compose/{_STACK}/api/app/edition.py", f'"""Which edition this is."""\n\nEDITION = "{name}"\n')
    said = site.inv("push", "--version", name, timeout=900).ok().out
    found = re.findall(r"^(\w+)  \S+/(\S+@sha256:\w+)", said, re.MULTILINE)
    assert {service for service, _ in found} == set(_DEPLOYMENTS), said
    return {service: f"{site.registry}/{_STACK}/{image}" for service, image in found}


def _new_version(site: OnKube, rounds: int, raw: dict[str, Any]) -> Row:
    """A new version, an image layer differs, images in the registry and verified; by hand and ours in turns."""
    say("versions for both are built and pushed")
    names = [(f"ours-{n}", f"hand-{n}") for n in range(rounds)]
    images = {name: _push(site, name) for pair in names for name in pair}
    ours, theirs, steps = [], [], []
    for n, (mine, hand) in enumerate(names):
        for who in ("ours", "hand") if n % 2 else ("hand", "ours"):
            site.settle()
            if who == "ours":
                done = site.inv("deploy", "--version", mine, "--format", "json").ok()
                ours.append(done.seconds)
                steps.append({s["step"]: s["seconds"] for s in done.json()["steps"]})
                say(f"new version: {done.seconds:.2f} s  {steps[-1]}")
            else:
                theirs.append(_by_hand(site, hand, images[hand]))
                say(f"by hand:     {theirs[-1]:.2f} s")
    raw["new_version"] = {"ours": ours, "by_hand": theirs, "steps": steps}
    detail = f"{median(ours):.2f} s, by hand {median(theirs):.2f} s; medians of {rounds}, in turns"
    return Row("new version, against by hand", median(ours) / median(theirs), "x", 1.4, 1.15, detail)


def _by_hand(site: OnKube, name: str, images: dict[str, str]) -> float:
    """Apply what the cluster has, with other images, as `kubectl apply -k` does; wait for the Deployments. Return seconds."""
    folder = site.checkout.path.parent / f"by-hand-{name}"
    folder.mkdir()
    found = [
        _plain(o) for o in site.get(_KINDS, "--selector", f"slipway.stack={_STACK},slipway.role!=accessory")["items"]
    ]
    for one in (o for o in found if o["kind"] == "Deployment"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        container["image"] = images[container["name"]]
    (folder / "all.yaml").write_text(yaml.safe_dump_all(found))
    (folder / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    began = time.monotonic()
    _kubectl(site, "apply", "--server-side", "--field-manager=slipway", "--force-conflicts", "--kustomize", str(folder))
    for deployment in _DEPLOYMENTS:
        _kubectl(site, "rollout", "status", f"deployment/{deployment}", "--timeout=5m")
    return time.monotonic() - began


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    """Return an object as a file has it."""
    metadata = {k: v for k, v in one["metadata"].items() if k not in (*_OF_THE_SERVER, "annotations")}
    found = {k: v for k, v in one.items() if k != "status"} | {"metadata": metadata}
    if found["kind"] == "Deployment":
        found["spec"].pop("replicas", None)
    if found["kind"] == "Service":
        for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            found["spec"].pop(key, None)
    return found


def _kubectl(site: OnKube, *argv: str) -> None:
    done = subprocess.run([*site.kubectl_argv, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _nothing_to_do(site: OnKube, raw: dict[str, Any]) -> Row:
    version = site.live()
    site.inv("deploy", "--version", version).ok()  # what was done by hand before is nothing that we know
    site.settle()
    runs = [site.inv("deploy", "--version", version, "--format", "json").ok() for _ in range(5)]
    assert not any(r.json()["changed"] for r in runs)
    raw["nothing_to_do"] = [r.seconds for r in runs]
    return Row("nothing to do", median(raw["nothing_to_do"]), detail="median of 5")


def _status(site: OnKube, raw: dict[str, Any]) -> Row:
    raw["status"] = [site.inv("status").ok().seconds for _ in range(7)]
    return Row("status", median(raw["status"]), "s", 1.5, 0.8, "median of 7")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.bench_kube", description="deploys on a cluster, measured"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of what is repeated; medians count")
    parser.add_argument("--long", action="store_true", help="15 rounds")
    parser.add_argument("--cold", action="store_true", help="nothing: versions are new ones always")
    parser.add_argument("--document", action="store_true", help="put the table into docs/benchmarks.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
