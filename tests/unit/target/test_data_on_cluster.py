"""Data on a cluster, as values: pods that keep to the policy, times in cron's words, what a pod is told, a restore's plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from slipway.errors import BadInput
from slipway.plan.operation import Operation
from slipway.scan import podpolicy
from slipway.settings import load
from slipway.settings.keeping import Backup, Kept
from slipway.settings.model import Environment, Stack
from slipway.target.kubernetes import manifests as making
from slipway.target.kubernetes.data import (
    calendar,
    drill_pod,
    network,
    noted,
    pods,
    quiet,
    restore_plan,
    storage,
    tools,
)
from slipway.target.kubernetes.data.tools import Tool
from slipway.target.kubernetes.facts import Facts
from tests.unit.target.test_plan_kubernetes import Case

Object = dict[str, Any]
BASE = load.root() / "k8s/fineasy/base"
BACKUP = Backup(repository="rest:https://backup.example.com/ours/")
REDIS = Kept(service="redis", kind="redis", password="redis_password")


@pytest.fixture(scope="module")
def case() -> Case:
    files = ("network.yaml", "api.yaml", "worker.yaml", "postgres.yaml", "redis.yaml")
    found = [m for name in files for m in yaml.safe_load_all((BASE / name).read_text())]
    for one in found:
        one["metadata"] |= {"namespace": "space"}
    return Case([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}, *found])


@pytest.fixture(scope="module")
def stack(case: Case) -> Stack:
    """The stack, which keeps Redis besides."""
    return case.stack.model_copy(update={"kept": (*case.stack.kept, REDIS)})


@pytest.fixture(scope="module")
def found(case: Case, stack: Stack) -> list[Tool]:
    return tools.of(stack, BACKUP, [*case.overlay.accessories, *case.release("one").manifests])


def spec(found: list[Tool], **more: Any) -> Object:
    return pods.spec("staging", "fineasy", "python:3.13", "slipway-agent", found, ["timer", "backup"], **more)


def drilled(case: Case, stack: Stack, found: list[Tool]) -> Object:
    values = making.Values(case.env, case.env.stacks[0], stack, {}, dict.fromkeys(stack.secrets, "x"))
    servers = [m for m in making.accessory_manifests(case.overlay, values) if m["kind"] == "StatefulSet"]
    apps = [m for m in case.release("one").manifests if m["metadata"]["name"] == "api" and m["kind"] == "Deployment"]
    return drill_pod.spec(spec(found), found, servers, apps, ["postgres", "redis"], "somebody")


def all_of_it(case: Case, stack: Stack, found: list[Tool]) -> list[Object]:
    account, *_ = pods.rights("space", "fineasy")
    everything = [*case.overlay.apps, *case.overlay.accessories]
    return [
        account, *network.policies("space", "fineasy", found, everything), pods.given("space", "fineasy", {"password": "x"}),
        pods.agent_map("space", "fineasy", b"agent"), pods.notes_map("space", "fineasy"),
        pods.job("space", "fineasy", "slipway-list-1", "list", spec(found, write=True)),
        pods.cron_job("space", "fineasy", "backup", "30 2 * * *", spec(found)),
        drill_pod.cron_job("space", "fineasy", "30 5 * * 0", drilled(case, stack, found)),
    ]  # fmt: skip


def test_pods_keep_to_the_policy_that_a_stack_s_do(case: Case, stack: Stack, found: list[Tool], tmp_path: Path) -> None:
    made = [m for m in all_of_it(case, stack, found) if m["kind"] != "Secret"]
    (tmp_path / "made.yaml").write_text("\n---\n".join(json.dumps(m) for m in made))
    said = {(f.rule, f.message) for f in podpolicy.scan(tmp_path, "made.yaml")}
    assert not said


@pytest.mark.parametrize("minor", ["1.33", "1.37"])
def test_api_servers_know_every_field(case: Case, stack: Stack, found: list[Tool], minor: str) -> None:
    for manifest in all_of_it(case, stack, found):
        kubernetes_validate.validate(manifest, minor, strict=True)


def test_backups_go_to_older_clusters_too(found: list[Tool]) -> None:
    made = pods.cron_job("space", "fineasy", "backup", "30 2 * * *", spec(found))
    kubernetes_validate.validate(made, "1.27", strict=True)


def test_each_kept_service_has_its_own_image_and_user(found: list[Tool], case: Case) -> None:
    by_name = {t.name: t for t in found}
    assert list(by_name) == ["restic", "api", "postgres", "redis"]
    assert (by_name["api"].image, by_name["api"].user) == (f"r/api@sha256:{'a' * 64}", 10001)
    assert (by_name["postgres"].user, by_name["postgres"].address) == (999, ("postgres", 5432))
    assert by_name["postgres"].claims == {}, "nobody touches a database's files"
    assert (by_name["redis"].claims, by_name["redis"].groups) == ({"/data": "data-redis-0"}, (999,))
    none = tools.of(case.stack, BACKUP, case.overlay.accessories)
    assert [t.name for t in none] == ["restic", "postgres"], "of an app that was never deployed there is no image"


def test_only_the_agent_has_a_token_and_no_value_of_a_secret_is_told(found: list[Tool]) -> None:
    made = spec(found)
    with_token = [c["name"] for c in made["containers"] if "account" in {m["name"] for m in c["volumeMounts"]}]
    assert with_token == [pods.AGENT]
    assert made["automountServiceAccountToken"] is False
    variables = {e["name"] for c in made["containers"] for e in c.get("env", [])}
    assert variables == {"SLIPWAY_POD", "PYTHONDONTWRITEBYTECODE"}
    (role,) = [m for m in pods.rights("space", "fineasy") if m["kind"] == "Role"]
    named, looked = role["rules"]
    assert named["resourceNames"] == ["slipway-data-fineasy"]
    assert (looked["resources"], looked["verbs"]) == (["pods"], ["get"])


def test_a_volume_is_written_by_a_restore_only(found: list[Tool]) -> None:
    def mount(made: Object) -> Object:
        redis = next(c for c in made["containers"] if c["name"] == "redis")
        return dict(next(m for m in redis["volumeMounts"] if m["name"] == "data-redis-0"))

    assert mount(spec(found))["readOnly"] is True
    assert "readOnly" not in mount(spec(found, write=True))


def test_a_drill_has_no_volume_of_what_serves(case: Case, stack: Stack, found: list[Tool]) -> None:
    made = drilled(case, stack, found)
    assert not [v for v in made["volumes"] if "persistentVolumeClaim" in v]
    assert made["hostAliases"] == [{"ip": "127.0.0.1", "hostnames": ["postgres", "redis"]}]
    order = [c["name"] for c in made["initContainers"]]
    assert order.index("server-postgres") < order.index("restore") < order.index("app-api")
    assert [c["name"] for c in made["containers"]] == ["slipway"]
    goes_on = {c["name"] for c in made["initContainers"] if c.get("restartPolicy") == "Always"}
    assert goes_on == {"server-postgres", "server-redis", "restic", "api", "postgres", "redis", "app-api"}
    mounted = {m["name"] for c in (*made["initContainers"], *made["containers"]) for m in c["volumeMounts"]}
    assert mounted == {v["name"] for v in made["volumes"]}


def test_two_on_one_port_make_no_drill(case: Case) -> None:
    servers = [m for m in case.overlay.accessories if m["kind"] == "StatefulSet"]
    other = json.loads(json.dumps(servers[0]))
    other["metadata"]["name"] = "another"
    with pytest.raises(BadInput, match="both listen on port 5432"):
        drill_pod.refuse(case.stack, [*servers, other])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*-*-* 02:30:00", "30 2 * * *"), ("02:30", "30 2 * * *"), ("Sun *-*-* 05:30:00", "30 5 * * 0"),
        ("*-*-* 00/6:15:00", "15 */6 * * *"), ("*-*-* 03/6:15:00", "15 3-23/6 * * *"), ("Mon..Fri 04:00", "0 4 * * 1,2,3,4,5"),
        ("Sat,Sun *-*-* 04:05:06", "5 4 * * 0,6"), ("Fri..Mon 04:00", "0 4 * * 0,1,5,6"), ("*-*-01 00:00:00", "0 0 1 * *"),
        ("daily", "0 0 * * *"), ("*-1,7-1 08:00", "0 8 1 1,7 *"),
    ],
)  # fmt: skip
def test_times_in_cron_s_words(text: str, words: str) -> None:
    assert calendar.cron(text, "backup.schedule") == words


@pytest.mark.parametrize(
    "text", ["2026-*-* 02:30", "Mon *-*-01 02:30", "*-*-* 02:30:00 UTC", "quarterly", "Someday 02:30"]
)
def test_times_that_cron_has_no_word_for(text: str) -> None:
    with pytest.raises(BadInput, match="CronJob"):
        calendar.cron(text, "backup.schedule")


def test_a_command_before_a_backup_is_refused(case: Case) -> None:
    kept = Kept(service="api", kind="files", paths=("/app/model",), before=("make-snapshot",))
    env: Environment = case.env.model_copy(update={"backup": BACKUP})
    with pytest.raises(BadInput, match="before and after"):
        tools.refuse(env, case.stack.model_copy(update={"kept": (kept,)}))


def test_a_restore_stops_what_serves_in_order_and_starts_it_again(case: Case, stack: Stack, found: list[Tool]) -> None:
    facts = case.facts(case.release("one"))
    stateful = {"metadata": {"name": "redis"}, "spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
    facts = Facts(facts.namespace, {**facts.objects, "StatefulSet": [stateful]}, facts.pods, facts.slices)
    request = case.request(facts, case.release("one"))
    chosen = {
        "set": {"id": "20260101-000000-abcd", "release": "one"}, "at": "then",
        "parts": [{"service": s, "kind": k, "bytes": 1} for s, k in (("postgres", "postgres"), ("redis", "redis"))],
    }  # fmt: skip
    plan = restore_plan.plan(request, chosen, found, (), Operation("accessories", "start them"), by="me", save=True)
    steps = [(p.title, [o.kind for o in p.hosts["here"]], p.felt) for p in plan.phases]
    assert steps == [
        ("Prepare the cluster", ["accessories", "restore.begin"], False),
        ("Load the backup beside what is there", ["restore.load"], False),
        ("Stop the services", ["apps.stop"], False),
        ("Save what is there", ["restore.save"], False),
        ("Stop what keeps it", ["data.stop"], False),
        ("Put the backup in place", ["restore.swap", "data.start"], True),
        ("Start and wait for health", ["apps.start"], True),
        ("Smoke tests", ["smoke"], True),
    ]
    stop = next(o for p in plan.phases for o in p.hosts["here"] if o.kind == "apps.stop")
    assert stop.params["groups"] == [["worker"], ["api"]], "what takes no requests ends first"
    start = next(o for p in plan.phases for o in p.hosts["here"] if o.kind == "apps.start")
    assert [[(name, count) for name, _, count, _ in group] for group in start.params["groups"]] == [
        [("api", 2)],
        [("worker", 1)],
    ]
    assert [o.kind for p in plan.undo for o in p.hosts["here"]] == ["data.start", "apps.start", "restore.tidy"]


def test_a_killed_restore_left_no_pods_but_their_number_is_known(case: Case, found: list[Tool]) -> None:
    release = case.release("one")
    for manifest in release.manifests:
        if manifest["kind"] == "Deployment":
            manifest["spec"]["replicas"] = 0
    facts = case.facts(release)
    recorded = case.facts(case.release("one")).objects["ConfigMap"]
    facts = Facts(facts.namespace, {**facts.objects, "ConfigMap": recorded}, facts.pods, facts.slices)
    chosen = {
        "set": {"id": "x", "release": ""},
        "at": "then",
        "parts": [{"service": "postgres", "kind": "postgres", "bytes": 1}],
    }
    plan = restore_plan.plan(case.request(facts, release), chosen, found, (), None, by="me", save=False)
    start = next(o for p in plan.phases for o in p.hosts["here"] if o.kind == "apps.start")
    assert {name: count for group in start.params["groups"] for name, _, count, _ in group} == {"api": 2, "worker": 1}


def test_what_is_noted_of_another_repository_does_not_count(case: Case) -> None:
    env = case.env.model_copy(update={"backup": BACKUP})
    good = {"at": "2026-01-01T00:00:00.000Z", "set": "x", "repository": BACKUP.repository}
    found = pods.notes_map("space", "fineasy")

    def told(**notes: Any) -> Object:
        data = {f"{k}.json": json.dumps(v) for k, v in notes.items()}
        state = noted.state(env, case.stack, Facts(objects={"ConfigMap": [{**found, "data": data}]}))
        assert state
        return state

    assert (told(good=good)["set"], told(good=good)["late"]) == ("x", True)
    other = told(good={**good, "repository": "rest:https://elsewhere.example.com/"})
    assert (other["set"], other["late"]) == (None, True)
    assert told(good=good, last={"outcome": "failed: no room"})["failed"] == "failed: no room"
    assert noted.state(case.env, case.stack, Facts()) is None, "no backups are made"


def test_claims_that_nobody_has_could_go() -> None:
    claims = [
        {"metadata": {"name": n}, "spec": {"resources": {"requests": {"storage": "10Gi"}}}}
        for n in ("data-db-0", "data-gone-0")
    ]
    pod = {
        "metadata": {"name": "db-0"},
        "spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]},
    }
    told = storage.told(claims, Facts(pods=[pod]))
    assert {(v["name"], v["bytes"], v["unused"]) for v in told} == {
        ("data-db-0", 10 * 2**30, False), ("data-gone-0", 10 * 2**30, True),
    }  # fmt: skip
    assert [storage.size(q) for q in ("500M", "1Ti", "strange")] == [500_000_000, 2**40, -1]


def test_no_policy_of_ours_closes_what_was_open(case: Case, found: list[Tool]) -> None:
    everything = [*case.overlay.apps, *case.overlay.accessories]
    names = [m["metadata"]["name"] for m in network.policies("space", "fineasy", found, everything)]
    assert names == ["slipway-data", "slipway-data-postgres", "slipway-data-redis"]
    open_ = [m for m in everything if m["kind"] != "NetworkPolicy"]
    assert [m["metadata"]["name"] for m in network.policies("space", "fineasy", found, open_)] == ["slipway-data"]
    others = {
        "podSelector": {
            "matchExpressions": [{"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["app"]}]
        }
    }
    assert network.closed([*open_, {"kind": "NetworkPolicy", "spec": others}]) == {"postgres", "redis"}
    others["podSelector"]["matchExpressions"][0]["operator"] = "In"
    assert network.closed([*open_, {"kind": "NetworkPolicy", "spec": others}]) == set()


def test_whose_a_pod_is() -> None:
    def pod(kind: str, owner: str, phase: str = "Running") -> Object:
        return {
            "metadata": {"name": "x", "ownerReferences": [{"kind": kind, "name": owner}]},
            "status": {"phase": phase},
        }

    assert quiet._is_of(pod("ReplicaSet", "api-5876899c9d"), ["api"])
    assert quiet._is_of(pod("StatefulSet", "redis"), ["redis"])
    assert not quiet._is_of(pod("ReplicaSet", "api-internal-5876899c9d"), ["api"]), "another Deployment's"
    assert not quiet._is_of(pod("ReplicaSet", "api-5876899c9d", "Failed"), ["api"]), "it is over"
