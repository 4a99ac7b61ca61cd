"""The policy on Kubernetes manifests, each finding with its line, in files of many documents and in patches."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.scan import podpolicy

GOOD = """\
# the way in
apiVersion: v1
kind: Service
metadata: {name: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: web
          image: registry.example.com/web:1.2
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          resources:
            limits: {memory: 256Mi}
          livenessProbe: {httpGet: {path: /health, port: 8000}}
          readinessProbe: {httpGet: {path: /health, port: 8000}}
"""


def scan(folder: Path, text: str, name: str = "k8s/shop/base/web.yaml") -> list[tuple[int, str, str]]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return [(f.line, f.level, f.rule) for f in podpolicy.scan(folder, name)]


def test_manifests_that_keep_it(tmp_path: Path) -> None:
    assert scan(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("web:1.2", "web", (18, "error", "image-latest")),
        ("web:1.2", "web:latest", (18, "error", "image-latest")),
        ("        runAsNonRoot: true\n", "", (18, "error", "root-user")),
        ("allowPrivilegeEscalation: false", "privileged: false", (19, "error", "new-privileges")),
        ("readOnlyRootFilesystem: true", "privileged: false", (19, "warning", "writable-root")),
        ("drop: [ALL]", "drop: [NET_RAW]", (19, "error", "capabilities")),
        ("        seccompProfile: {type: RuntimeDefault}\n", "", (18, "warning", "seccomp")),
        ("memory: 256Mi", "cpu: 1", (23, "error", "memory-limit")),
        ("livenessProbe", "startupProbe", (17, "warning", "probe")),
        ("automountServiceAccountToken: false", "hostNetwork: false", (11, "warning", "service-account-token")),
        ("      containers:", "      hostPID: true\n      containers:", (16, "error", "host-namespace")),
        (
            "      containers:",
            "      volumes: [{name: a, hostPath: {path: /}}]\n      containers:",
            (16, "error", "host-path"),
        ),
        ("kind: Service\n", "kind: Secret\nstringData: {a: b}\n", (4, "error", "plain-secret")),
        ("metadata: {name: web}\n---", "metadata: {name: web\n---", (5, "error", "manifest")),
    ],
)
def test_what_is_against_it(tmp_path: Path, old: str, new: str, found: tuple[int, str, str]) -> None:
    changed = GOOD.replace(old, new, 1)
    assert changed != GOOD
    line, level, rule = found
    assert [(level, rule) for _, level, rule in scan(tmp_path, changed)] == [(level, rule)]
    assert scan(tmp_path, changed)[0][0] == line


def test_a_patch_is_judged_by_what_it_says(tmp_path: Path) -> None:
    patch = "kind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - name: web\n          image: web:2\n"
    overlay = "k8s/shop/overlays/staging/web.yaml"
    assert scan(tmp_path, patch, overlay) == []
    bad = patch + "          securityContext: {privileged: true}\n"
    assert scan(tmp_path, bad, overlay) == [(8, "error", "privileged")]


def test_a_cronjobs_pod_lies_deeper(tmp_path: Path) -> None:
    text = "kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec: {hostIPC: true, containers: []}\n"
    assert [rule for _, _, rule in scan(tmp_path, text)] == ["host-namespace", "service-account-token"]
