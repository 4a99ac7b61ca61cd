"""Plans on a cluster, as values: what is done in which order, what undoes it, what goes afterwards."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from slipway.errors import BadInput
from slipway.plan.operation import Operation
from slipway.settings import load
from slipway.settings.model import Environment, Kubernetes, StackEntry
from slipway.target.kubernetes import deploy, manifests, planner, records
from slipway.target.kubernetes import overlay as overlays
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.request import Release, Request
from slipway.target.kubernetes.workplace import Place
from tests.support import quickyaml

BASE = load.root() / "k8s/fineasy/base"
Object = dict[str, Any]


@pytest.fixture(scope="module")
def documents() -> list[Object]:
    files = ("network.yaml", "api.yaml", "worker.yaml", "postgres.yaml", "redis.yaml")
    found = [m for name in files for m in quickyaml.load_all((BASE / name).read_text())]
    for one in found:
        one["metadata"] |= {"namespace": "space"}
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}, *found]


class Case:
    """A stack on a cluster, with releases that were deployed before."""

    def __init__(self, documents: list[Object], *, beside: bool = False, settle: float = 0.0) -> None:
        self.env: Environment = load.environment("staging").model_copy(
            update={
                "target": "kubernetes", "hosts": (), "stacks": (StackEntry(name="fineasy"),),
                "kubernetes": Kubernetes(context="here", strategy="blue-green" if beside else "rolling"),
            }
        )  # fmt: skip
        self.stack = load.stack(self.env, "fineasy")
        self.overlay = overlays.read(documents, self.stack, "staging")
        self.beside, self.settle = beside, settle

    def values(self, images: dict[str, str]) -> manifests.Values:
        secrets = {name: f"the value of {name}" for name in self.stack.secrets}
        return manifests.Values(self.env, self.env.stacks[0], self.stack, images, secrets)

    def release(self, name: str, run: int = 1) -> Release:
        images = {s.name: f"r/{s.name}@sha256:{'a' * 64}" for s in self.stack.of_role("app")}
        made = manifests.app_manifests(self.overlay, self.values(images))
        found = manifests.released(made, name, "v", self.stack, beside=self.beside)
        meta = records.meta(
            self.stack, self.env.stacks[0], name, "v", images, verified=True, activated_run=run, migrations=[]
        )
        return Release(name, "v", images, found, meta)

    def facts(self, live: Release | None, *others: Release) -> Facts:
        """Return what there is where a release serves, whole, and others are recorded."""
        if live is None:
            return Facts()
        known = [live, *others]
        maps = [records.release_record("fineasy", "space", r.meta, r.manifests) for r in known]
        maps.append(records.state_record("fineasy", "space", {"accessories": {"digest": "x"}}))
        objects: dict[str, list[Object]] = {"ConfigMap": maps}
        for manifest in live.manifests:
            objects.setdefault(manifest["kind"], []).append(manifest)
        pods = [pod(live.id, f"api-{n}") for n in range(2)]
        endpoints = [{"targetRef": {"name": p["metadata"]["name"]}, "conditions": {"ready": True}} for p in pods]
        one = {"metadata": {"labels": {"kubernetes.io/service-name": "api"}}, "endpoints": endpoints}
        return Facts({"metadata": {"name": "space"}}, objects, pods, [one])

    def request(self, facts: Facts, release: Release) -> Request:
        return Request("here", facts, self.values(dict(release.images)), self.overlay, self.beside, self.settle)


def pod(release: str, name: str) -> Object:
    labels = {"slipway.service": "api", "slipway.role": "app", "slipway.release": release}
    return {"metadata": {"name": name, "labels": labels}}


def steps(phases: tuple[Any, ...]) -> list[tuple[str, bool, list[str]]]:
    return [(p.title, p.switched, [f"{o.kind}: {o.says}" for ops in p.hosts.values() for o in ops]) for p in phases]


def test_a_first_deploy(documents: list[Object]) -> None:
    case = Case(documents)
    release = case.release("v1-aaaaaa")
    plan = planner.plan_deploy(case.request(Facts(), release), release)
    assert plan.before is None
    assert steps(plan.phases) == [
        ("Prepare the cluster", False, [
            "apply: apply what belongs to no release's pods", "accessories: start postgres, redis",
            "record: note release v1-aaaaaa",
        ]),
        ("Roll out", True, ["rollout: replace the pods of api, worker"]),
        ("Smoke tests", True, ["smoke: 6 requests through the Services"]),
        ("Verify", True, []),
    ]  # fmt: skip
    assert steps(plan.undo) == [
        ("Remove what failed", False, [
            "remove: remove deployment api, deployment worker, horizontalpodautoscaler api"
        ])
    ]  # fmt: skip
    assert plan.revert == (), "there is nothing to go back to"


def test_the_next_deploy_leaves_accessories_alone_and_can_go_back(documents: list[Object]) -> None:
    case = Case(documents, settle=30)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    plan = planner.plan_deploy(case.request(case.facts(old), new), new)
    assert plan.before == "v1-aaaaaa"
    assert [title for title, _, _ in steps(plan.phases)] == [
        "Prepare the cluster", "Roll out", "Smoke tests", "Watch for 30 s", "Verify",
    ]  # fmt: skip
    assert "accessories" not in {o.kind for p in plan.phases for ops in p.hosts.values() for o in ops}
    (rolled,) = [o for p in plan.revert for ops in p.hosts.values() for o in ops if o.kind == "rollout"]
    assert rolled.params["release"] == "v1-aaaaaa"
    (removed,) = [o for p in plan.revert for ops in p.hosts.values() for o in ops if o.kind == "remove"]
    assert removed.params["objects"] == [], "both releases have the same Deployments"


def test_blue_green_starts_beside_and_switches_services(documents: list[Object]) -> None:
    case = Case(documents, beside=True)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    plan = planner.plan_deploy(case.request(case.facts(old), new), new)
    assert steps(plan.phases)[1:4] == [
        ("Start and wait for health", False, ["rollout: replace the pods of api-bbbbbb"]),
        ("Switch", True, ["switch: send requests for api to it"]),
        ("Replace workers", True, ["rollout: replace the pods of worker"]),
    ]
    base = plan.phases[0].hosts["here"][0].params["manifests"]
    assert ("Service", "api") not in {(m["kind"], m["metadata"]["name"]) for m in base}, "it still sends to the old one"
    (removed,) = [o for p in plan.undo for ops in p.hosts.values() for o in ops if o.kind == "remove"]
    assert removed.params["objects"] == [["Deployment", "api-bbbbbb"], ["HorizontalPodAutoscaler", "api-bbbbbb"]]
    (switched,) = [o for p in plan.revert for ops in p.hosts.values() for o in ops if o.kind == "switch"]
    assert switched.params["release"] == "v1-aaaaaa"


def test_after_blue_green_the_predecessor_stays_and_nothing_else(documents: list[Object]) -> None:
    case = Case(documents, beside=True)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    kept = planner.kept(case.request(case.facts(old), new), new, "v1-aaaaaa")
    names = {name for kind, name in kept if kind == "Deployment"}
    assert names == {"api-aaaaaa", "api-bbbbbb", "worker"}
    assert {n for k, n in planner.kept(case.request(case.facts(old), new), new, None) if k == "Deployment"} == {
        "api-bbbbbb", "worker",
    }  # fmt: skip


def test_a_scaled_deployment_begins_with_as_many_pods_as_it_has(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    facts = case.facts(old)
    for deployment in facts.objects["Deployment"]:
        deployment["spec"]["replicas"] = 5
    plan = planner.plan_deploy(case.request(facts, new), new)
    (rolled,) = [o for p in plan.phases for ops in p.hosts.values() for o in ops if o.kind == "rollout"]
    assert rolled.params["least"] == {"api": 5}


def test_migrations_ahead_of_a_deploy_touch_nothing_that_serves(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    request = dataclasses.replace(case.request(case.facts(old), new), migrate=Operation("migrate", "run them"))
    plan = planner.plan_migrate(request, new)
    assert [p.title for p in plan.phases] == ["Prepare the cluster", "Migrate"]
    applied = {m["kind"] for m in plan.phases[0].hosts["here"][0].params["manifests"]}
    assert applied == {"ConfigMap", "Secret"}, "accounts and policies are there, and pods that serve live under them"
    assert not plan.undo
    before_all = dataclasses.replace(case.request(Facts(), new), migrate=Operation("migrate", "run them"))
    applied = {m["kind"] for m in planner.plan_migrate(before_all, new).phases[0].hosts["here"][0].params["manifests"]}
    assert applied == {"ConfigMap", "Secret", "ServiceAccount", "NetworkPolicy"}


def operations(phases: tuple[Any, ...], kind: str) -> list[Operation]:
    return [o for p in phases for ops in p.hosts.values() for o in ops if o.kind == kind]


def test_the_way_back_begins_with_what_pods_meet_at_once(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    (policy,) = [m for m in old.manifests if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "api"]
    (changed,) = [m for m in new.manifests if m["kind"] == "NetworkPolicy" and m["metadata"]["name"] == "api"]
    changed["spec"] = {"podSelector": {}}
    stranger = {**changed, "metadata": {**changed["metadata"], "name": "closed"}}
    new = dataclasses.replace(new, manifests=[*new.manifests, stranger])
    plan = planner.plan_deploy(case.request(case.facts(old), new), new)
    for way in (plan.undo, plan.revert):
        (phase, *_) = way
        first, second = phase.hosts["here"]
        assert policy in first.params["manifests"]
        assert second.params["objects"] == [["NetworkPolicy", "closed"]]


def test_a_service_that_changes_waits_for_the_pods(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    service = next(m for m in new.manifests if m["kind"] == "Service" and m["metadata"]["name"] == "api")
    service["spec"]["ports"][0]["targetPort"] = "other"
    plan = planner.plan_deploy(case.request(case.facts(old), new), new)
    assert [p.title for p in plan.phases][:3] == ["Prepare the cluster", "Roll out", "Change Services"]
    assert service not in plan.phases[0].hosts["here"][0].params["manifests"]
    assert plan.phases[2].hosts["here"][0].params["manifests"] == [service]
    (back,) = [
        m
        for m in plan.revert[0].hosts["here"][0].params["manifests"]
        if m["metadata"]["name"] == "api" and m["kind"] == "Service"
    ]
    assert back["spec"]["ports"][0]["targetPort"] == "http"


def test_the_way_back_reads_the_secrets_that_the_release_ran_with(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    facts = case.facts(
        dataclasses.replace(old, manifests=manifests.with_secrets(old.manifests, case.values({}), "app"))
    )
    facts.objects["ConfigMap"][0] |= records.release_record("fineasy", "space", old.meta, old.manifests)  # type: ignore[operator]
    ran = next(s["metadata"]["name"] for s in facts.objects["Secret"])
    request = case.request(facts, new)
    today = {**request.values.secrets, "redis_password": "another since"}
    request = dataclasses.replace(request, values=dataclasses.replace(request.values, secrets=today))
    plan = planner.plan_deploy(request, new)

    def read(phases: tuple[Any, ...]) -> set[str]:
        made = [m for o in operations(phases, "rollout") for m in o.params["manifests"] if m["kind"] == "Deployment"]
        volumes = [v for m in made for v in m["spec"]["template"]["spec"]["volumes"]]
        return {v["secret"]["secretName"] for v in volumes if "secret" in v}

    assert read(plan.undo) == {ran}
    assert read(plan.phases) != {ran}
    assert "Secret" not in {m["kind"] for m in operations(plan.undo, "apply")[0].params["manifests"]}


def test_an_outage_is_no_first_deploy(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    there = case.facts(old)
    record = [o for o in there.objects["ConfigMap"] if "slipway.record" in o["metadata"]["labels"]]
    out = Facts(there.namespace, {"ConfigMap": record})
    assert out.live() is None
    assert not out.first
    assert not planner.plan_deploy(case.request(out, new), new).undo, "nothing is removed that may serve again"
    assert Facts().first


def test_a_redeploy_does_not_take_a_releases_proof_away(documents: list[Object]) -> None:
    case = Case(documents)
    old, live = case.release("v1-aaaaaa", run=1), case.release("v2-bbbbbb", run=2)
    again = dataclasses.replace(old, meta={**old.meta, "verified": False, "activated_run": 7})
    (noted,) = operations(planner.plan_deploy(case.request(case.facts(live, old), again), again).phases, "record")
    assert (noted.params["meta"]["verified"], noted.params["meta"]["activated_run"]) == (True, 1)
    fresh = dataclasses.replace(case.release("v3-cccccc"), meta={**again.meta, "id": "v3-cccccc"})
    (noted,) = operations(planner.plan_deploy(case.request(case.facts(live, old), fresh), fresh).phases, "record")
    assert not noted.params["meta"]["verified"]


def test_a_release_that_is_scaled_up_is_whole(documents: list[Object]) -> None:
    case = Case(documents)
    facts = case.facts(case.release("v1-aaaaaa"))
    for one in facts.objects["Deployment"]:
        one["status"] = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
        one["spec"]["replicas"] = 2
    api = facts.named("Deployment", "api")
    assert api
    assert facts.is_whole("v1-aaaaaa")
    api["spec"]["replicas"], api["status"]["replicas"], api["status"]["updatedReplicas"] = 4, 4, 4
    assert facts.is_whole("v1-aaaaaa"), "two more are on their way"
    api["status"]["availableReplicas"] = 1
    assert not facts.is_whole("v1-aaaaaa"), "fewer than the least"


def test_a_run_that_was_killed_is_not_done(documents: list[Object]) -> None:
    case = Case(documents)
    release = case.release("v1-aaaaaa")

    def told(run: Object | None) -> bool:
        facts = case.facts(release)
        for one in facts.objects["Deployment"]:
            one["spec"]["replicas"] = 2
            one["status"] = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
        if run is not None:
            facts.objects["ConfigMap"].append(records.state_record("fineasy", "space", {"run": run}))  # type: ignore[attr-defined]
        return deploy.unchanged(facts, release, planner.plan_deploy(case.request(facts, release), release))

    assert told(None)
    assert told({"verb": "deploy", "outcome": "done"})
    assert not told({"verb": "deploy"})
    assert not told({"verb": "deploy", "outcome": "failed: x"})


def test_a_release_whose_secret_is_gone_is_not_gone_back_to(documents: list[Object]) -> None:
    case = Case(documents)
    old, live = case.release("v1-aaaaaa", run=1), case.release("v2-bbbbbb", run=2)
    facts = case.facts(live, old)
    place = Place(case.env, case.env.stacks[0], case.stack, case.overlay)
    assert deploy.recorded(facts, place, None).id == "v1-aaaaaa"
    volumes = next(m for m in old.manifests if m["kind"] == "Deployment")["spec"]["template"]["spec"]["volumes"]
    next(v for v in volumes if "secret" in v)["secret"]["items"].append({"key": "old_token", "path": "old_token"})
    with pytest.raises(BadInput, match="old_token"):
        deploy.recorded(case.facts(live, old), place, None)


def test_what_is_removed_is_ours_and_nobodys(documents: list[Object]) -> None:
    case = Case(documents)
    live, new = case.release("v1-aaaaaa"), case.release("v2-bbbbbb")
    facts = case.facts(live)
    ours = {"app.kubernetes.io/managed-by": "slipway", "slipway.stack": "fineasy"}

    def policy(name: str, **labels: str) -> Object:
        return {"metadata": {"name": name, "labels": {**ours, **labels}}}

    there = [*facts.objects["NetworkPolicy"], policy("stray"), policy("data", **{"slipway.role": "accessory"})]
    there += [
        policy("other", **{"slipway.stack": "books"}),
        policy("hand-made", **{"app.kubernetes.io/managed-by": "me"}),
    ]
    facts = dataclasses.replace(facts, objects={**facts.objects, "NetworkPolicy": there})
    keep = planner.kept(case.request(facts, new), new, None)
    assert [(k.name, n) for k, n in records.strays(facts, "fineasy", keep, None)] == [("NetworkPolicy", "stray")]
    found = records.strays(facts, "fineasy", keep, {"v2-bbbbbb"})
    assert ("ConfigMap", "slipway-release-v1-aaaaaa") in {(k.name, n) for k, n in found}


def test_no_plan_shows_a_secret(documents: list[Object]) -> None:
    case = Case(documents)
    release = case.release("v1-aaaaaa")
    plan = planner.plan_deploy(case.request(Facts(), release), release)
    assert "the value of" not in "\n".join(plan.lines())
    assert "the value of" not in repr(plan)


def test_a_record_brings_manifests_back_without_secrets(documents: list[Object]) -> None:
    case = Case(documents)
    release = case.release("v1-aaaaaa")
    facts = case.facts(release)
    assert records.manifests_of(facts, "v1-aaaaaa") == release.manifests
    assert "Secret" not in {m["kind"] for m in release.manifests}
    assert records.manifests_of(facts, "v0-cccccc") is None


def test_what_serves_is_read_from_endpoints(documents: list[Object]) -> None:
    case = Case(documents)
    old, new = case.release("v1-aaaaaa", run=1), case.release("v2-bbbbbb", run=2)
    facts = case.facts(old, new)
    assert facts.live() == "v1-aaaaaa"
    assert facts.shares() == {"api": {"v1-aaaaaa": 100.0}}
    facts.pods[0]["metadata"]["labels"]["slipway.release"] = "v2-bbbbbb"
    mixed = Facts(facts.namespace, facts.objects, facts.pods, facts.slices)
    assert mixed.shares() == {"api": {"v1-aaaaaa": 50.0, "v2-bbbbbb": 50.0}}
    assert mixed.receiving() == {"v1-aaaaaa", "v2-bbbbbb"}


def test_a_ledger_is_bounded() -> None:
    entries = [{"at": str(n)} for n in range(1000)]
    lines = records.ledger_record("s", "n", entries)["data"]["ledger"].splitlines()
    assert len(lines) == records.LEDGER_ENTRIES
    assert lines[-1] == '{"at": "999"}'
    huge = [{"at": str(n), "words": "x" * 10_000} for n in range(100)]
    assert len(records.ledger_record("s", "n", huge)["data"]["ledger"]) < 500_000


def test_jobs_run_after_migrations_before_pods_change_and_not_on_the_way_back(documents: list[Object]) -> None:
    case = Case(documents)
    worker = case.stack.service("worker")
    index = worker.model_copy(update={"name": "index", "role": "job", "health": None, "route": None})
    case.stack = case.stack.model_copy(update={"services": (*case.stack.services, index)})
    (like,) = [d for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"] == "worker"]
    pod_spec = like["spec"]["template"]["spec"] | {"containers": [{"name": "index", "image": "fineasy/index:release"}]}
    template = {"metadata": {"labels": {"app.kubernetes.io/name": "index"}}, "spec": pod_spec}
    job = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "index", "namespace": "space"},
        "spec": {"template": template, "backoffLimit": 6},
    }  # fmt: skip
    case.overlay = overlays.read([*documents, job], case.stack, "staging")
    images = {name: f"r/{name}@sha256:{'a' * 64}" for name in ("api", "worker", "index")}
    made = manifests.released(
        manifests.app_manifests(case.overlay, case.values(images)), "v2-bbbbbb", "v", case.stack, beside=False
    )
    old = Case(documents).release("v1-aaaaaa")
    new = dataclasses.replace(old, id="v2-bbbbbb", images=images, manifests=made)
    request = dataclasses.replace(
        case.request(case.facts(old), new), migrate=Operation("migrate", "run waiting migrations", {})
    )
    plan = planner.plan_deploy(request, new)
    assert [p.title for p in plan.phases[:4]] == ["Prepare the cluster", "Migrate", "Run jobs", "Roll out"]
    (run,) = operations(plan.phases, "job")
    manifest = run.params["manifest"]
    assert manifest["spec"]["template"]["spec"]["containers"][0]["image"] == images["index"]
    assert manifest["spec"]["backoffLimit"] == 0, "it is not tried again by itself"
    assert manifest["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert manifest["spec"]["template"]["metadata"]["labels"]["slipway.role"] == "job"
    applied = [m["kind"] for o in operations(plan.phases, "apply") for m in o.params["manifests"]]
    assert "Job" not in applied, "it runs in its own step alone"
    assert not plan.phases[2].switched
    assert not operations((*plan.undo, *plan.revert), "job")
    assert not operations(planner.plan_rollback(request, new).phases, "job")
    assert ["Job", "index"] not in planner.kept(request, new, None), "one that a killed run left goes"
