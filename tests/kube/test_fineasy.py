"""The stack fineasy on a real cluster: Postgres, Redis, migrations of Alembic's, the manifests of this repository."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from slipway.settings import load as settings
from tests.support.onkube import OnKube


@pytest.fixture(scope="module")
def fineasy(kube: OnKube) -> Iterator[OnKube]:
    """An environment with `fineasy` deployed, from this repository's base."""
    requests = "/spec/template/spec/containers/0/resources/requests"
    change = [{"op": "replace", "path": requests, "value": {"cpu": "20m", "memory": "64Mi"}}]
    small = {"target": {"kind": "Deployment"}, "patch": json.dumps(change)}
    env = kube.environment("story", stack="fineasy")
    kube.overlay(env, "fineasy", small)
    kube.checkout.commit("requests that a small cluster has room for")
    try:
        kube.inv("deploy", "--build", "--version", "one", timeout=580).ok()
        yield kube
    finally:
        kube.kubectl("delete", "namespace", kube.namespace, "--wait=false", check=False)


def test_it_serves_and_is_verified(fineasy: OnKube) -> None:
    found = fineasy.status()
    assert found["healthy"], found["problems"]
    assert found["release"]["verified"]
    assert {s["service"] for h in found["hosts"] for s in h["services"]} == {"api", "worker", "postgres", "redis"}


def test_migrations_were_run_and_noted(fineasy: OnKube) -> None:
    sql = "SELECT id, kind, shape IS NOT NULL FROM slipway_migrations ORDER BY id"
    rows = fineasy.kubectl("exec", "postgres-0", "--", "psql", "-U", "fineasy", "-At", "-c", sql).splitlines()
    assert [r.partition("|")[0] for r in rows] == ["0001", "0002", "0003"]
    assert rows[-1].endswith("|t"), "with the last one the database's shape is noted"


def test_what_waits_is_told(fineasy: OnKube) -> None:
    found = fineasy.inv("migrate.status", "--format", "json").ok().json()
    assert {m["state"] for m in found["migrations"]} == {"applied"}
    assert found["revision"] == "0003"
    file = "compose/fineasy/api/migrations/versions/0004_more.py"
    text = fineasy.checkout.read("compose/fineasy/api/migrations/versions/0003_demo_business.py")
    more = text.replace('revision = "0003"', 'revision = "0004"').replace(
        'down_revision = "0002"', 'down_revision = "0003"'
    )
    path = fineasy.checkout.write(file, more)
    try:
        waits = [
            m["id"]
            for m in fineasy.inv("migrate.status", "--format", "json").ok().json()["migrations"]
            if m["state"] == "waits"
        ]
    finally:
        path.unlink()
    assert waits == ["0004"]


def test_a_second_deploy_finds_nothing_to_migrate(fineasy: OnKube) -> None:
    fineasy.inv("deploy", "--build", "--version", "two", timeout=400).ok()
    assert fineasy.live() == "two"
    ledger = fineasy.inv("release.list", "--format", "json").ok().json()
    assert ledger[0]["steps"]["Migrate"] < 20


def test_the_scaler_decides_how_many_there_are(fineasy: OnKube) -> None:
    (api,) = [d for d in fineasy.get("deployments", "--show-managed-fields")["items"] if d["metadata"]["name"] == "api"]
    assert api["spec"]["replicas"] == 2
    managers = [
        f for f in api["metadata"]["managedFields"] if f["manager"] == "slipway" and f.get("subresource") is None
    ]
    assert all("f:replicas" not in f["fieldsV1"]["f:spec"] for f in managers)


def test_data_outlive_their_pod(fineasy: OnKube) -> None:
    query = ["exec", "postgres-0", "--", "psql", "-U", "fineasy", "-At", "-c", "SELECT count(*) FROM fraud_alerts"]
    before = fineasy.kubectl(*query)
    fineasy.kubectl("delete", "pod", "postgres-0", "--wait=true")
    until = time.monotonic() + 120
    while time.monotonic() < until and fineasy.kubectl(*query, check=False) != before:
        time.sleep(0.5)
    assert fineasy.kubectl(*query) == before


def test_a_deploy_touches_no_accessory(fineasy: OnKube) -> None:
    def accessories() -> list[tuple[str, Any]]:
        found = fineasy.get("statefulsets")["items"]
        return [(s["metadata"]["name"], s["metadata"]["generation"]) for s in found]

    before = accessories()
    file = "k8s/fineasy/base/redis.yaml"
    text = fineasy.checkout.read(file)
    try:
        fineasy.checkout.edit(file, "maxmemory 256mb", "maxmemory 200mb")
        assert "left alone" in fineasy.inv("deploy", "--version", "one", "--plan").ok().out
        fineasy.inv("deploy", "--version", "two").ok()
        assert accessories() == before
        assert "redis" in fineasy.inv("accessory.apply", "--plan").ok().out
        fineasy.inv("accessory.apply").ok()
        assert accessories() != before
        assert "what the manifests say" in fineasy.inv("accessory.apply").ok().out
    finally:
        fineasy.checkout.write(file, text)


def test_the_overlays_of_this_repository_apply(fineasy: OnKube) -> None:
    """The API server takes every overlay, defaults and admission included, without storing anything."""
    for overlay in sorted((settings.root() / "k8s/fineasy/overlays").iterdir()):
        folder = fineasy.checkout.path.parent / f"trial-{overlay.name}"
        shutil.copytree(settings.root() / "k8s", folder, dirs_exist_ok=True)
        document = yaml.safe_load((folder / "fineasy/overlays" / overlay.name / "kustomization.yaml").read_text())
        document |= {"namespace": fineasy.namespace, "resources": ["../../base"]}
        (folder / "fineasy/overlays" / overlay.name / "kustomization.yaml").write_text(yaml.safe_dump(document))
        fineasy.kubectl(
            "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--kustomize",
            str(folder / "fineasy/overlays" / overlay.name),
        )  # fmt: skip


_CONTRACTS = '''\
"""Nobody asks for it any more."""

from alembic import op

revision = "0004"
down_revision = "0003"
slipway = "contract"


def upgrade() -> None:
    op.execute("ALTER TABLE fraud_alerts DROP COLUMN IF EXISTS never_was")
'''


def test_what_contracts_waits_until_no_release_needs_it(fineasy: OnKube) -> None:
    file = "compose/fineasy/api/migrations/versions/0004_less.py"
    with fineasy.checkout.changed():
        fineasy.checkout.write(file, _CONTRACTS)
        refused = fineasy.inv("migrate", "--contract").exits(2).err
        assert "0004 would take away what a release needs" in refused
        assert "serves" in refused, "the live release does not know it"
        fineasy.inv("deploy", "--build", "--version", "three", timeout=400).ok()
        fineasy.settle()
        refused = fineasy.inv("migrate", "--contract").exits(2).err
        assert "is what a rollback goes back to" in refused
        fineasy.inv("deploy", "--build", "--version", "four", timeout=400).ok()
        fineasy.settle()
        told = fineasy.inv("migrate", "--contract", "--plan").ok().out
        assert "0004_less.py (contract)" in told
        assert "DROP COLUMN IF EXISTS never_was" in told
        states = {
            m["id"]: m["state"] for m in fineasy.inv("migrate.status", "--format", "json").ok().json()["migrations"]
        }
        assert states["0004"] == "waits", "a plan runs nothing"
        fineasy.inv("migrate", "--contract").ok()
        found = fineasy.inv("migrate.status", "--format", "json").ok().json()
        assert found["revision"] == "0004"
        assert {m["state"] for m in found["migrations"]} == {"applied"}
        assert not fineasy.get("jobs")["items"]
        fineasy.inv("migrate", "--contract").ok()
        past = next(
            e["release"]
            for e in fineasy.inv("release.list", "--format", "json").ok().json()
            if e.get("version") == "one"
        )
        assert "can't be gone back to" in fineasy.inv("rollback", "--to", past).exits(2).err
        fineasy.inv("rollback").ok()
        assert fineasy.live() == "three"
        fineasy.inv("deploy", "--version", "four").ok()
