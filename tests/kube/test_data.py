"""Data on a real cluster: backups by hand and by CronJob, restores after the worst, drills that pass and one that does not."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import restserver, stacks
from tests.support.onkube import OnKube

LOGIN = {"rest_user": "somebody", "rest_password": "rest-password"}
RESTIC, PYTHON = "restic/restic:0.18.0", "python:3.13-slim-trixie"
_SERVE = """
import pathlib, restserver
restserver.Server(pathlib.Path('/repository/ours'), 'somebody:rest-password', 8000).serve_forever()
"""
SUMS = """
SELECT string_agg(format('%s %s %s', t, n, s), E'\\n' ORDER BY t) FROM (
  SELECT 'alerts' AS t, count(*) AS n, sum(hashtextextended(r::text, 0)) AS s FROM fraud_alerts r UNION ALL
  SELECT 'made', count(*), sum(hashtextextended(r::text, 0)) FROM made r UNION ALL
  SELECT 'objects', count(*), sum(hashtextextended(md5(lo_get(oid)), 0)) FROM pg_largeobject_metadata) AS sums
"""


class Repository:
    """A restic repository over HTTP in a pod of its own, so that it can be reached from the cluster, wherever tests run."""

    def __init__(self, kube: OnKube) -> None:
        self.kube, self.space = kube, f"repository-{kube.unique}"

    def start(self) -> str:
        """Start it, and return its URL."""
        text = Path(restserver.__file__).read_text()
        self.run("create", "namespace", self.space)
        self.run("create", "configmap", "program", f"--from-literal=restserver.py={text}")
        labels = {"app": "repository"}
        container = {
            "name": "it", "image": f"{self.kube.registry}/{PYTHON}", "command": ["python3", "-c", _SERVE], "workingDir": "/program",
            "volumeMounts": [{"name": "program", "mountPath": "/program"}, {"name": "data", "mountPath": "/repository"}],
        }  # fmt: skip
        pod = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "repository", "labels": labels},
            "spec": {
                "containers": [container], "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "program", "configMap": {"name": "program"}}, {"name": "data", "emptyDir": {}}],
            },
        }  # fmt: skip
        service = {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "repository"},
            "spec": {"type": "NodePort", "selector": labels, "ports": [{"port": 8000}]},
        }  # fmt: skip
        for one in (pod, service):
            self.run("apply", "--filename", "-", stdin=json.dumps(one))
        self.run("wait", "--for=condition=Ready", "pod/repository", "--timeout=120s")
        return f"rest:http://repository.{self.space}.svc:8000/ours/"

    def from_outside(self) -> str:
        """Return its URL as a host outside of the cluster has it."""
        port = json.loads(self.run("get", "service", "repository", "--output", "json"))["spec"]["ports"][0]["nodePort"]
        (node, *_) = self.kube.get("nodes")["items"]
        address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        return f"rest:http://{address}:{port}/ours/"

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run kubectl in its namespace."""
        words = ["kubectl", "--kubeconfig", self.kube.kubeconfig, "--namespace", self.space, *argv]
        done = subprocess.run(words, capture_output=True, text=True, check=False, input=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def damage(self) -> None:
        """Change one byte in the middle of each pack of data."""
        program = (
            "import pathlib\nfor p in pathlib.Path('/repository/ours/data').rglob('*'):\n"
            "    if p.is_file():\n        d = bytearray(p.read_bytes()); d[len(d) // 3] ^= 1; p.write_bytes(d)\n"
        )
        self.run("exec", "repository", "--", "python3", "-c", program)


class Story:
    """The stack fineasy with data in it."""

    def __init__(self, kube: OnKube, repository: Repository) -> None:
        self.kube, self.repository = kube, repository

    def sql(self, text: str) -> str:
        """Ask the database."""
        return self.kube.kubectl(
            "exec", "postgres-0", "--", "psql", "-U", "fineasy", "-v", "ON_ERROR_STOP=1", "-Atc", text
        )

    def fill(self, rows: int) -> str:
        """Make rows and large objects of any bytes anew; return sums of all that counts."""
        self.sql(
            "DROP TABLE IF EXISTS made; CREATE TABLE made (id int PRIMARY KEY, at timestamptz, note text, data bytea);"
            f"INSERT INTO made SELECT n, now() - n * interval '1 hour', 'r\u00f6w ' || n, sha256(n::text::bytea)"
            f" FROM generate_series(1, {rows}) n; SELECT lo_from_bytea(0, sha256(n::text::bytea)) FROM generate_series(1, 3) n"
        )
        return self.sums()

    def sums(self) -> str:
        """Return rows and sums."""
        return self.sql(SUMS)

    def wreck(self) -> None:
        """Lose data in all ways."""
        self.sql("DROP TABLE made; DELETE FROM fraud_alerts; SELECT lo_unlink(oid) FROM pg_largeobject_metadata")

    def sets(self) -> list[dict[str, Any]]:
        """Return the backups that there are."""
        return list(self.kube.inv("backup.list", "--format", "json").ok().json())

    def backup(self, *argv: str) -> str:
        """Make a backup; return its id."""
        return str(self.kube.inv("backup", "--format", "json", *argv).ok().json()["set"]["id"])

    def holder(self) -> str:
        """Return the pod that has the lock of the data, "" where none has."""
        told = self.kube.get("configmap", "slipway-data-fineasy").get("data", {}).get("holder.json", "{}")
        return str(json.loads(told).get("pod", ""))


def until(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def story(kube: OnKube) -> Iterator[Story]:
    """The stack, deployed, with a repository in the same cluster; nothing is backed up yet."""
    from slipway.lab import images

    for name in (RESTIC, PYTHON):
        images.ensure(name)
        kube.bring(name)
    repository = Repository(kube)
    try:
        url = repository.start()
        cluster = {"context": kube.context, "kubeconfig": kube.kubeconfig, "runner": f"{kube.registry}/{PYTHON}"}
        login = {"RESTIC_REST_USERNAME": "rest_user", "RESTIC_REST_PASSWORD": "rest_password"}
        backup = {
            "repository": url,
            "image": f"{kube.registry}/{RESTIC}",
            "environment": login,
            "schedule": "*-*-* 02:30:00",
        }
        env = kube.environment("data", stack="fineasy", kubernetes=cluster, backup=backup)
        stacks.plant(kube.checkout, env, "backup", **LOGIN)
        kube.checkout.edit(
            "compose/fineasy/compose.yaml",
            "      backup: none\n",
            "      backup: {kind: redis, password: redis_password}\n",
        )
        kube.overlay(env, "fineasy", _small())
        kube.checkout.commit("data")
        kube.inv("deploy", "--build", "--version", "one", timeout=580).ok()
        yield Story(kube, repository)
    finally:
        for space in (kube.namespace, repository.space):
            kube.kubectl("delete", "namespace", space, "--wait=false", check=False)


def _small() -> dict[str, Any]:
    requests = "/spec/template/spec/containers/0/resources/requests"
    change = [{"op": "replace", "path": requests, "value": {"cpu": "20m", "memory": "64Mi"}}]
    return {"target": {"kind": "Deployment"}, "patch": json.dumps(change)}


def test_the_cluster_backs_up_by_itself(story: Story) -> None:
    story.fill(100)
    crons = {c["metadata"]["name"]: c["spec"]["schedule"] for c in story.kube.get("cronjobs")["items"]}
    assert crons == {"slipway-backup": "30 2 * * *", "slipway-drill": "30 5 * * 0"}
    story.kube.kubectl("create", "job", "--from=cronjob/slipway-backup", "by-itself")
    story.kube.kubectl("wait", "--for=condition=Complete", "job/by-itself", "--timeout=180s")
    (made,) = story.sets()
    assert {(p["service"], p["kind"]) for p in made["parts"]} == {
        ("api", "files"), ("postgres", "postgres"), ("redis", "redis"), ("environment", "configuration"),
    }  # fmt: skip
    told = story.kube.status()["backup"]
    assert (told["set"], told["late"], told["failed"]) == (made["id"], False, None)
    assert [
        e["by"] for e in story.kube.inv("release.list", "--format", "json").ok().json() if e["verb"] == "backup"
    ] == ["timer"]


def test_no_secret_shows_and_nothing_is_root(story: Story) -> None:
    spec = json.dumps(story.kube.get("cronjobs"))
    assert LOGIN["rest_password"] not in spec
    for cron in story.kube.get("cronjobs")["items"]:
        pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        tokens = [
            c["name"]
            for c in (*pod["containers"], *pod["initContainers"])
            if "account" in {m["name"] for m in c["volumeMounts"]}
        ]
        assert set(tokens) <= {"slipway", "restore"}, "no container with tools has a token"


def test_wrecked_and_restored(story: Story) -> None:
    before = story.fill(500)
    redis = ["exec", "redis-0", "--", "sh", "-c"]
    ask = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli '
    story.kube.kubectl(*redis, ask + "SET kept 'a value'")
    made = story.backup()
    story.wreck()
    story.kube.kubectl(*redis, ask + "SET kept wrecked")
    assert story.kube.inv("restore").exits(2).err.count("nobody agreed") == 1
    told = story.kube.inv("restore", "--yes", "--format", "json", timeout=580).ok().json()
    assert told["set"]["id"] == made
    assert story.sums() == before
    assert story.kube.kubectl(*redis, ask + "GET kept") == "a value"
    assert story.kube.status()["healthy"]
    safety = next(s for s in story.sets() if s["id"] == told["safety"])
    assert safety["scope"] == "safety"
    assert story.kube.inv("release.list", "--format", "json").ok().json()[0]["verb"] == "restore"
    databases = story.sql("SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate")
    assert databases == "fineasy postgres", "nothing of the restore stays"


def test_beside(story: Story) -> None:
    before = story.sums()
    story.kube.inv("restore", "--into", "older", "--only", "postgres").ok()
    rows = story.kube.kubectl(
        "exec", "postgres-0", "--", "psql", "-U", "fineasy", "-d", "older", "-Atc", "SELECT count(*) FROM made"
    )
    assert (rows, story.sums()) == ("500", before)
    refused = story.kube.inv("restore", "--into", "other", "--only", "redis").exits(2).err
    assert "--only" in refused
    story.sql("DROP DATABASE older")


@pytest.mark.parametrize("when", ["loads", "stopped"])
def test_killed_restore_runs_again(story: Story, when: str) -> None:
    before = story.fill(300)
    story.backup()
    story.wreck()
    running = story.kube.start("restore", "--yes")
    if when == "loads":
        until(story.holder)
    else:
        until(lambda: not [p for p in story.kube.get("pods")["items"] if p["metadata"]["name"].startswith("api-")])
    running.kill()
    story.kube.inv("restore", "--yes", timeout=580).ok()
    assert story.sums() == before
    assert story.kube.status()["healthy"]


def test_one_at_a_time(story: Story) -> None:
    running = story.kube.start("backup")
    until(story.holder)
    refused = story.kube.inv("backup.prune").exits(3).err
    assert "is at work" in refused
    assert running.result().code == 0
    story.kube.inv("backup.check", "--read-data").ok()
    assert "kept" in story.kube.inv("backup.prune").ok().out


def test_a_path_of_a_host_is_refused(story: Story) -> None:
    with story.kube.checkout.changed():
        file = f"envs/{story.kube.env}.yml"
        text = json.loads(story.kube.checkout.read(file))
        text["backup"]["repository"] = "/var/backups/slipway"
        story.kube.checkout.write(file, json.dumps(text))
        refused = story.kube.inv("backup").exits(2).err
    assert "s3:" in refused
    assert f"{story.kube.env}.yml:1" in refused


def test_a_set_of_hosts(story: Story) -> None:
    """The stack moves: what was backed up on hosts, under the same name, is restored on the cluster, and the other way round."""
    kube, lab = story.kube, story.kube.checkout
    environment = f"envs/{kube.env}.yml"
    ask = "docker exec -i $(docker ps -q --filter label=slipway.service=postgres) psql -U fineasy -qAt"
    password = lab.path.parent / "password"
    password.write_text("of tests")
    password.chmod(0o600)

    def on_host(text: str) -> str:
        return lab.on(kube.env, "sh", "-euc", ask, stdin=text).strip()

    told = json.loads(lab.read(environment))
    hosts = {
        "lab": {"hosts": 1, "kind": "provisioned"}, "allow_dirty": True, "vault_password": {"file": str(password)},
        "stacks": [{"name": "fineasy", "port": 8395}],
        "backup": {**told["backup"], "repository": story.repository.from_outside(), "image": RESTIC},
    }  # fmt: skip
    try:
        lab.write(environment, json.dumps(hosts))
        kube.inv("deploy", "--build", "--version", "on-hosts", timeout=580).ok()
        on_host("CREATE TABLE of_hosts AS SELECT n, md5(n::text) AS note FROM generate_series(1, 77) n")
        made = story.backup("--any-size")
        lab.write(environment, json.dumps(told))
        kube.inv("restore", "--snapshot", made, "--yes", timeout=580).ok()
        assert story.sql("SELECT count(*), max(note) FROM of_hosts") == on_host(
            "SELECT count(*), max(note) FROM of_hosts"
        )
        story.sql("UPDATE of_hosts SET note = 'of the cluster'")
        back = story.backup()
        lab.write(environment, json.dumps(hosts))
        kube.inv("restore", "--snapshot", back, "--yes", timeout=580).ok()
        assert on_host("SELECT DISTINCT note FROM of_hosts") == "of the cluster"
    finally:
        lab.write(environment, json.dumps(hosts))
        kube.inv("lab.down")
        lab.write(environment, json.dumps(told))


def test_drills(story: Story) -> None:
    """One is good; once the repository's data have a byte changed, one is not, and says so."""
    made = story.backup()
    good = story.kube.inv("backup.drill", "--format", "json", timeout=580).ok().json()
    assert (good["set"], good["verdict"], good["findings"]) == (made, "good", [])
    assert "api" in good["asked"]
    assert story.kube.status()["backup"]["drill"]["verdict"] == "good"
    story.repository.damage()
    bad = story.kube.inv("backup.drill", "--format", "json", timeout=580).exits(1).json()
    assert bad["verdict"] == "bad"
    assert bad["findings"]
    until(lambda: not [p for p in story.kube.get("pods")["items"] if "slipway.task" in p["metadata"]["labels"]], 60)
    assert {c["metadata"]["name"] for c in story.kube.get("persistentvolumeclaims")["items"]} == {
        "data-postgres-0",
        "data-redis-0",
    }
    assert story.kube.status()["backup"]["drill"]["verdict"] == "bad"
