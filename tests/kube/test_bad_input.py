"""Bad input on a real cluster: one paragraph, exit code 2, nothing touched."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import yaml

from tests.support.onkube import OnKube
from tests.support.tcprelay import Relay


@contextlib.contextmanager
def settings(site: OnKube, **kubernetes: Any) -> Iterator[None]:
    """Change what the environment says of the cluster, for a block."""
    file = f"envs/{site.env}.yml"
    text = site.checkout.read(file)
    document = json.loads(text)
    document["kubernetes"] |= kubernetes
    site.checkout.write(file, json.dumps(document))
    try:
        yield
    finally:
        site.checkout.write(file, text)


def kubeconfig(site: OnKube) -> dict[str, Any]:
    argv = ["kubectl", "--kubeconfig", site.kubeconfig, "config", "view", "--raw", "--flatten", "--minify"]
    return dict(yaml.safe_load(subprocess.run(argv, check=True, capture_output=True, text=True).stdout))


def write(site: OnKube, document: dict[str, Any]) -> str:
    return str(site.checkout.write("../kubeconfig", yaml.safe_dump(document)))


def test_a_context_that_does_not_exist(site: OnKube) -> None:
    with settings(site, context="nowhere"):
        for verb in ("deploy", "status", "logs", "rollback"):
            assert "nowhere" in site.inv(verb).exits(2).err


def test_no_kubeconfig(site: OnKube) -> None:
    with settings(site, kubeconfig="/no/such/file"):
        assert "/no/such/file" in site.inv("deploy", "--version", "one").exits(2).err


def test_credentials_that_are_not_accepted(site: OnKube) -> None:
    document = kubeconfig(site)
    document["users"][0]["user"] = {"token": "expired"}
    with settings(site, kubeconfig=write(site, document)):
        said = site.inv("deploy", "--version", "one").exits(2).err
    assert "does not accept these credentials" in said


def test_rights_that_are_missing_are_named(site: OnKube) -> None:
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    for one in (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"}, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": site.namespace}],
        },
    ):  # fmt: skip
        site.kubectl("apply", "--filename", "-", stdin=json.dumps(one))
    document = kubeconfig(site)
    document["users"][0]["user"] = {"token": site.kubectl("create", "token", "reader")}
    with settings(site, kubeconfig=write(site, document)):
        said = site.inv("deploy", "--version", "one").exits(2).err
        assert "patch deployment" in said
        assert "create lease" in said


def test_fields_that_somebody_else_manages(site: OnKube) -> None:
    patch = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"minReadySeconds": 3},
    }  # fmt: skip
    argv = ["apply", "--server-side", "--field-manager=somebody", "--filename", "-"]
    site.kubectl(*argv, stdin=json.dumps(patch))
    try:
        with site.patched("web", ("add", "/spec/minReadySeconds", 1)):
            said = site.inv("deploy", "--version", "one").exits(2).err
    finally:
        site.kubectl(*argv, stdin=json.dumps({k: v for k, v in patch.items() if k != "spec"}))
    assert "somebody" in said
    assert "minReadySeconds" in said
    assert site.live() == "one"


def test_a_field_that_can_not_be_changed(site: OnKube) -> None:
    labels = ("/spec/selector/matchLabels/more", "/spec/template/metadata/labels/more")
    with site.patched("extra", *(("add", path, "yes") for path in labels)):
        said = site.inv("deploy", "--version", "one").exits(2).err
    assert "immutable" in said
    assert "deployment extra" in said
    assert "k8s/probe/base/probe.yaml:44: " in said, "it says where"


def test_a_field_that_does_not_exist(site: OnKube) -> None:
    with site.patched("extra", ("add", "/spec/replicaz", 2)):
        said = site.inv("deploy", "--version", "one").exits(2).err
    assert "replicaz" in said


def test_manifests_that_can_not_be_released_are_told_with_file_and_line(site: OnKube) -> None:
    with site.patched("extra", ("add", "/spec/template/spec/initContainers", [{"name": "first", "image": "redis:8"}])):
        said = site.inv("deploy", "--version", "one").exits(2).err
    assert "k8s/probe/base/probe.yaml:44: Deployment extra: initContainers" in said


def test_a_version_that_does_not_exist(site: OnKube) -> None:
    assert "nosuch" in site.inv("deploy", "--version", "nosuch").exits(2).err


def test_a_release_that_is_not_kept(site: OnKube) -> None:
    assert "is not kept" in site.inv("rollback", "--to", "nosuch-123456").exits(2).err


def test_an_api_server_that_is_away(site: OnKube) -> None:
    document = kubeconfig(site)
    with Relay(document) as relay, settings(site, kubeconfig=write(site, relay.kubeconfig)):
        assert site.inv("status").ok()
        relay.cut()
        said = site.inv("deploy", "--version", "one").exits(1).err
        assert "does not answer" in said
        assert site.inv("status").code == 1


def test_an_api_server_that_is_away_for_a_while_in_a_deploy(site: OnKube) -> None:
    document = kubeconfig(site)
    site.version("two")
    site.inv("push", "--version", "two").ok()
    with Relay(document) as relay, settings(site, kubeconfig=write(site, relay.kubeconfig)):
        running = site.start("deploy", "--version", "two")
        relay.wait_for(requests=60)
        relay.cut()
        relay.mend(after=4)
        running.result().ok()
    assert site.live() == "two"
    site.inv("deploy", "--version", "one").ok()


def test_a_namespace_that_is_being_removed(kube: OnKube) -> None:
    env, stack = kube.env, kube.stack
    kube.environment("going")
    try:
        kube.kubectl("create", "namespace", kube.namespace)
        held = {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "held", "namespace": kube.namespace, "finalizers": ["example.com/hold"]},
        }  # fmt: skip
        kube.kubectl("apply", "--filename", "-", stdin=json.dumps(held))
        kube.kubectl("delete", "namespace", kube.namespace, "--wait=false")
        assert "is being removed" in kube.inv("deploy", "--version", "one").exits(2).err
    finally:
        kube.kubectl(
            "patch", "configmap", "held", "--type=merge", "--patch", '{"metadata":{"finalizers":[]}}', check=False
        )
        kube.env, kube.stack = env, stack
