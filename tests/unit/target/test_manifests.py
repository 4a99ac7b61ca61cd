"""From rendered manifests to what is applied: images, settings, secrets, replicas, the release."""

from __future__ import annotations

import base64
import contextlib
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import BadInput, NeedsPerson, SlipwayError
from slipway.settings import load
from slipway.settings.model import Environment, Kubernetes, StackEntry
from slipway.target.kubernetes import deploy, manifests, verbs, workplace
from slipway.target.kubernetes import overlay as overlays
from slipway.target.kubernetes import schema as schemas
from slipway.target.kubernetes.cluster import Cluster
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.session import ClusterSession
from slipway.target.kubernetes.workplace import Place
from slipway.target.version import Version
from tests.support import quickyaml, values

BASE = load.root() / "k8s/fineasy/base"
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def _read() -> list[Manifest]:
    files = ("network.yaml", "api.yaml", "worker.yaml", "postgres.yaml", "redis.yaml")
    found = [m for name in files for m in quickyaml.load_all((BASE / name).read_text())]
    for one in found:
        one["metadata"] |= {"namespace": "space", "labels": {"app.kubernetes.io/part-of": "fineasy"}}
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "space"}}, *found]


@pytest.fixture
def overlay(_read: list[Manifest]) -> list[Manifest]:
    """The base, as if an overlay had put it into a namespace."""
    return copy.deepcopy(_read)


def environment(**entry: Any) -> Environment:
    hosts = load.environment("staging")
    more = {"target": "kubernetes", "hosts": (), "kubernetes": Kubernetes(context="here")}
    return hosts.model_copy(update={**more, "stacks": (StackEntry(name="fineasy", **entry),)})


def of(found: list[Manifest], kind: str, name: str) -> Manifest:
    (one,) = [m for m in found if m["kind"] == kind and m["metadata"]["name"] == name]
    return one


def pod(manifest: Manifest) -> Manifest:
    return dict(manifest["spec"]["template"]["spec"])


def test_images_are_those_of_the_release_and_pods_know_it(overlay: list[Manifest]) -> None:
    found, _ = values.released(overlay, environment())
    (container,) = pod(of(found, "Deployment", "api"))["containers"]
    assert container["image"].startswith("registry.example.com/fineasy/api@sha256:")
    assert {"name": "SLIPWAY_RELEASE", "value": "v1-abc123"} in container["env"]
    assert of(found, "Deployment", "api")["spec"]["template"]["metadata"]["labels"]["slipway.release"] == "v1-abc123"


def test_settings_are_those_of_compose_with_the_environments_values(overlay: list[Manifest]) -> None:
    plain, _ = values.released(overlay, environment())
    other, _ = values.released(overlay, environment(settings={"LOG_LEVEL": "DEBUG"}))

    def settings(found: list[Manifest]) -> Manifest:
        (source,) = pod(of(found, "Deployment", "api"))["containers"][0]["envFrom"]
        return of(found, "ConfigMap", source["configMapRef"]["name"])

    assert settings(plain)["data"]["LOG_LEVEL"] == "INFO"
    assert settings(other)["data"]["LOG_LEVEL"] == "DEBUG"
    assert settings(plain)["metadata"]["name"] != settings(other)["metadata"]["name"]
    assert settings(plain)["data"].keys() == {
        "DATABASE_URL", "POSTGRES_PASSWORD_FILE", "REDIS_URL", "REDIS_PASSWORD_FILE", "LOG_LEVEL", "CORS_ORIGINS",
    }  # fmt: skip


def test_secrets_are_read_by_the_name_of_what_they_hold(overlay: list[Manifest]) -> None:
    found, filled = values.released(overlay, environment())
    (secret,) = [m for m in found if m["kind"] == "Secret"]
    assert base64.b64decode(secret["data"]["redis_password"]).decode() == "the value of redis_password"
    for name in ("api", "worker"):
        volumes = {v["name"]: v for v in pod(of(found, "Deployment", name))["volumes"]}
        assert volumes["secrets"]["secret"]["secretName"] == secret["metadata"]["name"]
    accessories = manifests.accessory_manifests(overlays.read(overlay, filled.stack, "staging"), filled)
    (own,) = [m for m in accessories if m["kind"] == "Secret"]
    assert own["metadata"]["name"] != secret["metadata"]["name"], "a deploy changes no accessory"


def test_a_secret_is_in_nothing_else(overlay: list[Manifest]) -> None:
    found, filled = values.released(overlay, environment())
    found += manifests.accessory_manifests(overlays.read(overlay, filled.stack, "staging"), filled)
    shown = str([m for m in found if m["kind"] != "Secret"])
    for value in filled.secrets.values():
        assert value not in shown
        assert base64.b64encode(value.encode()).decode() not in shown


def test_another_secret_is_another_digest_of_the_accessories(overlay: list[Manifest]) -> None:
    _, filled = values.released(overlay, environment())
    read = overlays.read(overlay, filled.stack, "staging")
    other = manifests.Values(filled.env, filled.entry, filled.stack, {}, {**filled.secrets, "redis_password": "other"})
    assert manifests.accessory_digest(read, filled) == manifests.accessory_digest(read, filled)
    assert manifests.accessory_digest(read, filled) != manifests.accessory_digest(read, other)


def test_replicas_are_the_least_where_pods_are_scaled(overlay: list[Manifest]) -> None:
    found, _ = values.released(overlay, environment(replicas={"api": 8, "worker": 3}))
    scaler = of(found, "HorizontalPodAutoscaler", "api")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (8, 8)
    assert "replicas" not in of(found, "Deployment", "api")["spec"]
    assert of(found, "Deployment", "worker")["spec"]["replicas"] == 3


def test_the_domain_is_the_ingress_rules(overlay: list[Manifest]) -> None:
    found, _ = values.released(overlay, environment(domain="www.example.com"))
    assert [r["host"] for r in of(found, "Ingress", "api")["spec"]["rules"]] == ["www.example.com"]
    found, _ = values.released(overlay, environment())
    assert "host" not in of(found, "Ingress", "api")["spec"]["rules"][0]


def test_blue_green_gives_routed_services_a_deployment_of_the_releases_own(overlay: list[Manifest]) -> None:
    found, _ = values.released(overlay, environment(), beside=True)
    blue = of(found, "Deployment", "api-abc123")
    assert blue["spec"]["selector"]["matchLabels"]["slipway.release"] == "v1-abc123"
    assert of(found, "HorizontalPodAutoscaler", "api-abc123")["spec"]["scaleTargetRef"]["name"] == "api-abc123"
    assert of(found, "Service", "api")["spec"]["selector"]["slipway.release"] == "v1-abc123"
    assert "slipway.release" not in of(found, "Deployment", "worker")["spec"]["selector"]["matchLabels"]
    assert "slipway.release" not in of(found, "PodDisruptionBudget", "api")["spec"]["selector"]["matchLabels"]


def test_credentials_of_the_registry_go_to_every_pod(overlay: list[Manifest]) -> None:
    found, filled = values.released(overlay, environment())
    assert not [m for m in found if m["metadata"]["name"] == "registry"]
    filled = manifests.Values(filled.env, filled.entry, filled.stack, filled.images, filled.secrets, "hunter2")
    made = manifests.with_secrets(
        manifests.app_manifests(overlays.read(overlay, filled.stack, "staging"), filled), filled, "app"
    )
    secret = of(made, "Secret", "registry")
    told = base64.b64decode(secret["data"][".dockerconfigjson"]).decode()
    assert '"registry.example.com"' in told
    assert base64.b64encode(b"ci:hunter2").decode() in told
    assert pod(of(made, "Deployment", "api"))["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize(
    ("kind", "name", "change", "words"),
    [
        ("Namespace", "space", None, "there should be one Namespace, not 0"),
        ("Deployment", "worker", None, "there is no Deployment worker, a service of the stack file"),
        ("Service", "api", None, "there is no Service api, which the stack file has a route for"),
        ("StatefulSet", "redis", {"kind": "DaemonSet"}, "DaemonSet redis: of this kind Slipway applies none"),
        (
            "Deployment",
            "worker",
            {"metadata": {"name": "wroker", "namespace": "space"}},
            "the stack file has no service",
        ),
        (
            "NetworkPolicy",
            "nobody",
            {"metadata": {"name": "nobody"}},
            "NetworkPolicy nobody: is not in the namespace space",
        ),
        ("NetworkPolicy", "nobody", {"kind": "Secret"}, "Secret nobody: a secret in the repository"),
        ("NetworkPolicy", "nobody", {"kind": "CronJob"}, "CronJob nobody: Slipway starts nothing by the clock"),
        ("NetworkPolicy", "nobody", {"kind": "Job"}, "Job nobody: the stack file has no service of that name"),
    ],
)
def test_what_can_not_be_released(
    overlay: list[Manifest], kind: str, name: str, change: Manifest | None, words: str
) -> None:
    one = of(overlay, kind, name)
    overlay.remove(one)
    if change:
        overlay.append({**one, **change})
    with pytest.raises(BadInput, match=words):
        overlays.read(overlay, load.stack(environment(), "fineasy"), "staging")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"containers": [{"name": "api"}, {"name": "proxy"}]},
            "Deployment api: a pod has one container, not 2 .api, proxy.",
        ),
        ({"initContainers": [{"name": "first"}]}, "Deployment api: initContainers are not started"),
        ({"imagePullSecrets": [{"name": "mine"}]}, "Deployment api: imagePullSecrets of its own"),
    ],
)
def test_pods_of_which_a_part_would_be_forgotten(overlay: list[Manifest], change: Manifest, words: str) -> None:
    of(overlay, "Deployment", "api")["spec"]["template"]["spec"] |= change
    with pytest.raises(BadInput, match=words):
        overlays.read(overlay, load.stack(environment(), "fineasy"), "staging")


def test_migrations_need_the_database_in_a_pod(overlay: list[Manifest]) -> None:
    env, stack = environment(), load.stack(environment(), "fineasy")
    assert stack.migrate
    assert stack.migrate.kind != "command"
    place = Place(env, env.stacks[0], stack, overlays.read(overlay, stack, "staging"))
    schemas.refuse_without_database(place)
    overlay.remove(of(overlay, "StatefulSet", "postgres"))
    without = Place(env, env.stacks[0], stack, overlays.read(overlay, stack, "staging"))
    with pytest.raises(BadInput, match="no StatefulSet postgres"):
        deploy.deploy(without, Version(None))
    own = stack.model_copy(update={"migrate": stack.migrate.model_copy(update={"kind": "command"})})
    schemas.refuse_without_database(Place(env, env.stacks[0], own, without.overlay))


def test_accessories_that_can_not_be_applied_need_a_person(
    overlay: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    env, stack = environment(), load.stack(environment(), "fineasy")
    secrets = dict.fromkeys(stack.secrets, "x")
    place = Place(env, env.stacks[0], stack, overlays.read(overlay, stack, "staging"), secrets)
    noted: list[Manifest] = []

    class Api(Cluster):
        def apply(self, manifest: Mapping[str, Any], *, dry: bool = False, force: bool = False) -> dict[str, Any]:
            if manifest["kind"] == "StatefulSet" and not dry:
                raise SlipwayError("the cluster's API server does not answer", where="here")
            noted.append(dict(manifest))
            return dict(manifest)

        def find(self, path: str) -> None:
            return None

    session = ClusterSession(Api(Kubernetes(context="here")), "space", "fineasy")

    @contextlib.contextmanager
    def begun(*_: Any) -> Iterator[workplace.Run]:
        yield workplace.Run(place, session, Facts(), 1)

    monkeypatch.setattr(workplace, "find", lambda *_: place)
    monkeypatch.setattr(workplace, "begun", begun)
    with pytest.raises(NeedsPerson, match="what needs it may fail"):
        list(verbs.accessory_apply("staging", None, plan_only=False, yes=True))
    assert '"failed: the cluster\'s API server does not answer"' in noted[-1]["data"]["ledger"]


def test_two_stacks_have_two_namespaces(
    overlay: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, stack = environment(), load.stack(environment(), "fineasy")
    read = overlays.read(overlay, stack, "staging")
    env = env.model_copy(update={"stacks": (*env.stacks, StackEntry(name="books"))})
    folder = tmp_path / "k8s/books/overlays" / env.name
    folder.mkdir(parents=True)
    monkeypatch.setattr(load, "root", lambda: tmp_path)
    (folder / "kustomization.yaml").write_text("namespace: another\n")
    workplace.refuse_shared(env, stack, read)
    (folder / "kustomization.yaml").write_text("namespace: space\n")
    with pytest.raises(BadInput, match="fineasy and books are both in the namespace space"):
        workplace.refuse_shared(env, stack, read)


def test_the_same_is_made_each_time(overlay: list[Manifest], tmp_path: Path) -> None:
    first, _ = values.released(overlay, environment())
    second, _ = values.released(list(reversed(overlay)), environment())
    assert first == second
