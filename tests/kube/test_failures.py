"""What goes wrong on a real cluster: told at once, in words, and undone; what served goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.support import load
from tests.support.onkube import OnKube

_TINY = {"requests": {"cpu": "10m", "memory": "5Mi"}, "limits": {"memory": "5Mi"}}


@pytest.fixture(autouse=True)
def _serves_one(site: OnKube) -> Iterator[None]:
    """What served before serves after each of these, and nothing is left of what failed."""
    before = site.objects()
    yield
    assert site.live() == "one"
    assert site.status()["healthy"], site.status()["problems"]
    releases = {o for o in site.objects() if "slipway-release-" in o}
    assert site.objects() - releases - {f"configmap/slipway-ledger-{site.stack}"} <= before


def test_a_crash_loop(site: OnKube) -> None:
    with load.running(site.door(), "new=10", load.PROBE) as client:
        found = site.deploy("crashes", mode="crash", code=1)
    assert "model file is corrupt: expected 42 bytes" in found.err
    assert "exit code 1" in found.err
    assert "Still serving: release one" in found.err
    assert not client.report.failed, client.report.text()


def test_a_crash_is_told_soon(site: OnKube) -> None:
    site.version("crashes")
    began = time.monotonic()
    running = site.start("deploy", "--version", "crashes")
    until = began + 60
    while time.monotonic() < until and not _died(site):
        time.sleep(0.1)
    died = time.monotonic()
    told = running.result()
    assert told.code == 1
    assert "exit code 1" in told.err
    assert time.monotonic() - died < 10


def _waits(site: OnKube, *reasons: str) -> bool:
    states = [c["state"] for p in site.get("pods")["items"] for c in p["status"].get("containerStatuses", [])]
    return any(s.get("waiting", {}).get("reason") in reasons for s in states)


def _died(site: OnKube) -> bool:
    states = [c for p in site.get("pods")["items"] for c in p["status"].get("containerStatuses", [])]
    return any("terminated" in c["state"] or c["restartCount"] for c in states)


def test_an_image_that_is_not_there(site: OnKube) -> None:
    images = site.status()["release"]["images"]
    digests = {service: image.rpartition("@")[2] for service, image in images.items()} | {"web": f"sha256:{'0' * 64}"}
    told = ",".join(f"{service}={digest}" for service, digest in digests.items())
    found = site.inv("deploy", "--version", "one", "--images", told).exits(2)
    assert "the image of web does not exist in the registry" in found.err
    assert f"web@sha256:{'0' * 64}" in found.err


def test_an_image_that_nodes_can_not_pull(site: OnKube) -> None:
    """It is told within ten seconds from when the node knows."""
    overlay = f"k8s/probe/overlays/{site.env}/kustomization.yaml"
    with site.checkout.changed():
        text = site.checkout.read(f"envs/{site.env}.yml")
        document = json.loads(text)
        document["registry"]["pull"] = f"{site.registry}/nowhere"
        site.checkout.write(f"envs/{site.env}.yml", json.dumps(document))
        assert site.checkout.read(overlay)
        running = site.start("deploy", "--version", "one")
        until = time.monotonic() + 60
        while time.monotonic() < until and not _waits(site, "ErrImagePull", "ImagePullBackOff"):
            time.sleep(0.1)
        failed = time.monotonic()
        told = running.result()
    assert told.code == 1
    assert "can't be pulled" in told.err
    assert time.monotonic() - failed < 10


def test_one_that_never_gets_ready(site: OnKube) -> None:
    found = site.deploy("sick", mode="sick", code=1)
    assert "503" in found.err
    assert "probe" in found.err


def test_one_that_gives_wrong_answers_is_rolled_back(site: OnKube) -> None:
    found = site.deploy("wrong", mode="wrong", code=4)
    assert "smoke test 'greets' failed" in found.err
    assert "rolled back" in found.err


def test_a_migration_that_fails(site: OnKube) -> None:
    with site.checkout.changed():
        site.checkout.write("compose/probe/web/migrations/007_break.sql", "BREAK\n")
        found = site.deploy("breaks", code=1)
    assert "is broken: no such column" in found.err
    assert not site.get("jobs")["items"]


def test_a_pod_that_no_node_takes(site: OnKube) -> None:
    with site.patched("extra", ("add", "/spec/template/spec/nodeSelector", {"moon": "full"})):
        found = site.inv("deploy", "--version", "one").exits(4)  # phase 1 has had requests by then
    assert "no node takes it" in found.err


def test_a_container_that_needs_too_much_memory(site: OnKube) -> None:
    with site.patched("web", ("replace", "/spec/template/spec/containers/0/resources", _TINY)):
        found = site.inv("deploy", "--version", "one").exits(1)
    assert "OOMKilled" in found.err or "memory" in found.err


def test_a_pod_that_the_namespace_forbids(site: OnKube) -> None:
    with site.patched("web", ("add", "/spec/template/spec/hostNetwork", True)):
        found = site.inv("deploy", "--version", "one").exits(1)
    assert "violates PodSecurity" in found.err


def test_a_quota_that_is_used_up(site: OnKube) -> None:
    # The last one here: the API server remembers a quota for a while.
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {"pods": "5"}},
    }  # fmt: skip
    site.kubectl("apply", "--filename", "-", stdin=json.dumps(quota))
    try:
        site.version("quota")
        found = site.inv("deploy", "--build", "--version", "quota").exits(1)
    finally:
        site.kubectl("delete", "resourcequota", "small")
    assert "exceeded quota: small" in found.err
