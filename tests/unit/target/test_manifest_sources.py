"""Where a manifest stands, in which file and line, though kustomize does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from slipway.errors import BadInput
from slipway.settings import load
from slipway.settings.load import root
from slipway.target.kubernetes import overlay
from slipway.target.kubernetes.manifests import RELEASE, SERVICE
from slipway.target.kubernetes.sources import Sources

_BASE = """\
# Two objects.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: v1
kind: Service
metadata:
  name: web
"""


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    for name, text in {
        "base/kustomization.yaml": "resources: [all.yaml, gone.yaml]\n",
        "base/all.yaml": _BASE,
        "more/kustomization.yaml": "kind: Component\nresources: [broken.yaml]\n",
        "more/broken.yaml": "a: [1\n",
        "over/kustomization.yaml": "resources: [../base, space.yaml, '../over']\ncomponents: [../more]\n",
        "over/space.yaml": "kind: Namespace\nmetadata: {name: here}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Sources(tmp_path / "over", tmp_path)


def test_an_object_is_found_where_it_stands(sources: Sources) -> None:
    assert sources.of({"kind": "Deployment", "metadata": {"name": "web"}}) == "base/all.yaml:2"
    assert sources.of({"kind": "Service", "metadata": {"name": "web"}}) == "base/all.yaml:6"
    assert sources.of({"kind": "Namespace", "metadata": {"name": "here"}}) == "over/space.yaml:1"
    assert sources.of({"kind": "ConfigMap", "metadata": {"name": "web-settings-1"}}) == "", "Slipway made it"


def test_one_that_has_a_releases_name_is_found_by_its_service(sources: Sources) -> None:
    labels = {RELEASE: "one-3f9c2a", SERVICE: "web"}
    mine = {"kind": "Deployment", "metadata": {"name": "web-3f9c2a", "labels": labels}}
    assert sources.of(mine) == "base/all.yaml:2"


def test_what_can_not_be_released_is_told_with_file_and_line() -> None:
    stack = load.stack(load.environment("staging"), "fineasy")
    found = Sources(root() / "k8s/fineasy/overlays/staging", root())
    file = root() / "k8s/fineasy/base/worker.yaml"
    documents = [
        m for f in sorted(file.parent.glob("*.yaml")) for m in yaml.safe_load_all(f.read_text()) if "metadata" in m
    ]
    for one in documents:
        one["metadata"]["namespace"] = "space"
    (worker,) = [m for m in documents if (m["kind"], m["metadata"]["name"]) == ("Deployment", "worker")]
    worker["spec"]["template"]["spec"]["initContainers"] = [{"name": "first"}]
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}
    with pytest.raises(BadInput) as refused:
        overlay.read([space, *documents], stack, "staging", found.of)
    ((name, line, words),) = refused.value.places
    assert name == "k8s/fineasy/base/worker.yaml"
    assert "initContainers" in words
    assert f"{name}:{line}: Deployment worker: initContainers" in refused.value.seen
    text = file.read_text().splitlines()[line - 1 : line + 2]
    assert "kind: Deployment" in text, text
