"""Deploys and rollbacks that replace pods by and by, on a real cluster: what is live, what is said, and nobody notices."""

from __future__ import annotations

import base64
import json
import signal
import time

import pytest

from tests.support import load
from tests.support.onkube import OnKube


def test_a_first_deploy_serves_and_is_verified(site: OnKube) -> None:
    found = site.status()
    assert found["healthy"], found["problems"]
    assert found["release"]["version"] == "one"
    assert found["release"]["verified"]
    services = {(s["service"], s["traffic"]) for h in found["hosts"] for s in h["services"]}
    assert {("web", 100.0), ("extra", 100.0), ("tick", None), ("store", None)} <= services
    assert site.inv("status").ok().out.startswith(f"probe in {site.env}: healthy")


def test_the_same_again_changes_nothing(site: OnKube) -> None:
    before = {p["metadata"]["name"] for p in site.get("pods")["items"]}
    assert "nothing to do" in site.inv("deploy", "--version", "one").ok().out
    assert {p["metadata"]["name"] for p in site.get("pods")["items"]} == before


def test_a_plan_changes_nothing_and_tells_what_would(site: OnKube) -> None:
    site.version("two")
    told = site.inv("deploy", "--build", "--version", "two", "--plan", "--format", "json").ok().json()
    assert told["changed"]
    assert [p["title"] for p in told["plan"]["phases"]][:2] == ["Prepare the cluster", "Migrate"]
    assert {c["what"] for c in told["plan"]["changes"]} == {"deployment"}
    assert site.live() == "one"


def test_a_new_version_and_back_under_load(site: OnKube) -> None:
    # Each request has a connection of its own: one that is kept meets its pod's end, unless a proxy is between, which asks again.
    site.version("two")
    with load.running(site.door(), "new=20", load.PROBE) as client:
        client.wait(requests=100)
        site.inv("deploy", "--build", "--version", "two").ok()
        assert site.live() == "two"
        site.inv("rollback").ok()
        assert site.live() == "one"
        client.wait(requests=100)
    assert not client.report.failed, client.report.text()
    assert site.inv("release.list", "--format", "json").ok().json()[0]["verb"] == "rollback"


def test_pods_run_what_was_pinned(site: OnKube) -> None:
    digests = site.status()["release"]["images"]
    for pod in site.get("pods", "--selector", "slipway.role=app")["items"]:
        (status,) = pod["status"]["containerStatuses"]
        assert digests[pod["metadata"]["labels"]["slipway.service"]] in status["imageID"]


def test_verify_by_hand(site: OnKube) -> None:
    assert "checks passed" in site.inv("verify").ok().text


def test_logs_of_all_pods_in_order(site: OnKube) -> None:
    lines = [json.loads(line) for line in site.inv("logs", "--format", "json", "--tail", "50").ok().out.splitlines()]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert "store" in {line["service"] for line in lines}
    assert {
        line["service"]
        for line in map(json.loads, site.inv("logs", "--service", "store", "--format", "json").ok().out.splitlines())
    } == {"store"}


def test_logs_are_followed_through_a_change_of_pods(site: OnKube) -> None:
    running = site.start("logs", "--follow", "--service", "store", "--tail", "1", "--format", "json")
    time.sleep(4)
    site.kubectl("delete", "pod", "store-0", "--wait=true")
    until = time.monotonic() + 60
    while time.monotonic() < until and not site.status()["healthy"]:
        time.sleep(1)
    time.sleep(4)
    running.process.send_signal(signal.SIGINT)
    lines = [json.loads(line) for line in running.result().ok().out.splitlines()]
    assert len(lines) == len({(line["time"], line["text"]) for line in lines}), "no line comes twice"
    assert any("Ready to accept connections" in line["text"] for line in lines[1:]), "the new pod's lines came"


def test_secrets_are_in_no_object_that_is_not_one(site: OnKube) -> None:
    secrets = site.get("secrets", "--selector", "slipway.stack=probe")["items"]
    values = {v for s in secrets for v in s["data"].values()}
    assert values
    shown = site.kubectl("get", "configmaps,deployments,statefulsets,pods,services", "--output", "json")
    for value in values:
        assert value not in shown
        assert base64.b64decode(value).decode() not in shown


def test_a_setting_makes_another_release_and_old_settings_go(site: OnKube) -> None:
    file = f"envs/{site.env}.yml"
    with site.checkout.changed():
        document = json.loads(site.checkout.read(file))
        document["stacks"] = [{"name": "probe", "settings": {"GREETING": "good morning"}}]
        site.checkout.write(file, json.dumps(document))
        plan = site.inv("deploy", "--version", "one", "--plan").ok().out
        assert "GREETING" in plan
        site.inv("deploy", "--version", "one").ok()
    pods = site.get("pods", "--selector", "slipway.service=web")["items"]
    names = {
        p["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
        for p in pods
        if "deletionTimestamp" not in p["metadata"]
    }
    (name,) = names
    assert site.get("configmap", name)["data"]["GREETING"] == "good morning"


@pytest.mark.parametrize("verb", ["provision", "backup", "restore", "backup.drill", "logs.rotate"])
def test_what_has_no_meaning_says_so(site: OnKube, verb: str) -> None:
    said = site.inv(*verb.split(), *(["--yes"] if verb == "restore" else [])).exits(2).err
    assert "cluster" in said
    assert "Next:" in said


def test_what_manifests_no_longer_have_goes(site: OnKube) -> None:
    extra = {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
        "metadata": {"name": "web-more", "namespace": site.namespace},
    }  # fmt: skip
    theirs = {**extra, "metadata": {"name": "theirs", "namespace": site.namespace}}
    site.kubectl("apply", "--filename", "-", stdin=json.dumps(theirs))
    overlay = f"k8s/probe/overlays/{site.env}"
    site.checkout.write(f"{overlay}/more.yaml", json.dumps(extra))
    site.checkout.edit(f"{overlay}/kustomization.yaml", "- namespace.yaml\n", "- namespace.yaml\n- more.yaml\n")
    site.inv("deploy", "--version", "one").ok()
    assert "configmap/web-more" in site.objects()
    site.checkout.edit(f"{overlay}/kustomization.yaml", "- more.yaml\n", "")
    site.inv("deploy", "--version", "one").ok()
    assert "configmap/web-more" not in site.objects()
    assert site.kubectl("get", "configmap", "theirs", "--output", "name"), "it is not ours"
    assert site.get("pvc")["items"], "volumes are never removed"
