"""What a host is given: the Compose file of a release and of the accessories."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.settings import composekeys
from slipway.settings.model import MOST_REPLICAS
from slipway.target import release
from slipway.target.compose import render
from tests.support import values
from tests.support.keys import CARRIED


def document(folder: Path, *, hosts: int = 1, first: bool = True, **more: Any) -> dict[str, Any]:
    env, entry, stack = values.settings(folder, hosts=hosts, **more)
    content = render.app_content(env, entry, stack, values.DIGESTS)
    return render.app_document(content, stack, "v1-abc", "v1", first)


def test_a_service_knows_its_release_and_can_be_found(tmp_path: Path) -> None:
    web = document(tmp_path)["services"]["web"]
    assert web["environment"]["SLIPWAY_RELEASE"] == "v1-abc"
    assert web["environment"]["SLIPWAY_VERSION"] == "v1"
    assert web["labels"] == {
        "slipway.stack": "probe", "slipway.service": "web", "slipway.role": "app", "slipway.release": "v1-abc",
    }  # fmt: skip
    assert web["image"] == values.DIGESTS["web"]
    assert "build" not in web
    assert "x-slipway" not in web


def test_only_apps_and_only_their_secrets(tmp_path: Path) -> None:
    found = document(tmp_path)
    assert set(found["services"]) == {"web", "extra", "tick"}
    assert found["secrets"] == {"token": {"file": "./secrets/token"}}
    assert found["networks"]["stack"] == {"name": "slipway-probe", "external": True}
    assert "volumes" not in found


def test_the_environment_sets_replicas(tmp_path: Path) -> None:
    stacks = [{"name": "probe", "port": 8300, "replicas": {"web": 5}}]
    assert document(tmp_path, stacks=stacks)["services"]["web"]["deploy"]["replicas"] == 5
    assert document(tmp_path)["services"]["web"]["deploy"]["replicas"] == 2


def test_other_hosts_find_the_accessories_at_the_first(tmp_path: Path) -> None:
    assert document(tmp_path, hosts=2, first=False)["services"]["web"]["extra_hosts"] == {"store": "192.0.2.1"}
    assert "extra_hosts" not in document(tmp_path, hosts=2)["services"]["web"]
    assert "extra_hosts" not in document(tmp_path)["services"]["web"]


def test_accessories_are_published_for_other_hosts_only(tmp_path: Path) -> None:
    env, _, stack = values.settings(tmp_path, hosts=2)
    found = render.accessory_document(env, stack)
    assert found["services"]["store"]["ports"] == ["192.0.2.1:6379:6379"]
    assert found["volumes"] == {"store": {"name": "slipway-probe-store", "external": True}}
    env, _, stack = values.settings(tmp_path, hosts=1)
    assert "ports" not in render.accessory_document(env, stack)["services"]["store"]


def test_a_dollar_is_a_dollar_to_compose() -> None:
    text = render.as_yaml({"services": {"a": {"command": ["sh", "-c", "echo $HOME $$"]}}})
    assert yaml.safe_load(text)["services"]["a"]["command"][2] == "echo $$HOME $$$$"


def test_who_reads_a_secret(tmp_path: Path) -> None:
    _, _, stack = values.settings(tmp_path)
    assert render.readers(stack.service("web")) == ["0", "10001"]
    assert render.readers(stack.service("store")) == ["0"]


def release_id(version: str = "v1", n: int = 1, secrets: dict[str, str] | None = None, room: int = 40) -> str:
    return release.release_id(version, {"n": n}, {} if secrets is None else secrets, room)


def test_ids_are_names_and_tell_contents_apart() -> None:
    one = release_id("Feature/X_1 ")
    assert re.fullmatch(r"feature-x-1-[0-9a-f]{6}", one)
    assert release_id("Feature/X_1 ") == one
    assert release_id("ü").startswith("v-")
    secrets = [{"a": "1"}, {"a": "2"}, {"b": "1"}, None]
    ids = {release_id("v1", n, s) for n in (1, 2) for s in secrets} | {release_id("v2")}
    assert len(ids) == 9, "another setting, version or secret is another release"
    assert release_id("1234567890-dirty-abcdef12", room=11)[:-7] == "1234567890", "no hyphen too many"


def test_an_id_does_not_help_to_guess_a_secret() -> None:
    """It is public and the rest of what it is made of as well: a try has to cost more than a plain digest does."""
    public = {"version": "v1", "content": {"n": 1}}
    guesses = [{**public, "secrets": {"a": "hunter2"}}, {"content": {"n": 1}, "secrets": {"a": "hunter2"}, "v": "v1"}]
    assert release_id("v1", secrets={"a": "hunter2"})[-6:] not in {release.content_digest(g)[:6] for g in guesses}

    def took(guess: str) -> float:
        begun = time.perf_counter()
        release_id("v1", secrets={"a": guess})
        return time.perf_counter() - begun

    assert min(took(guess) for guess in ("one", "two", "three")) > 0.005, "a hundred thousand times what SHA-256 takes"


@pytest.mark.parametrize(
    "version", ["v1", "1234567890-dirty-abcdef12", "release-candidate-of-the-second-of-february-2026"]
)
@pytest.mark.parametrize(("stack", "service"), [("s", "w"), ("fineasy", "worker"), ("s" * 20, "w" * 20)])
def test_every_container_has_a_name_that_dns_knows(tmp_path: Path, version: str, stack: str, service: str) -> None:
    """A label has 63 letters: longer names would be up, healthy, and never found by the router."""
    _, _, probe = values.settings(tmp_path)
    web = probe.service("web").model_copy(update={"name": service})
    named = probe.model_copy(update={"name": stack, "services": (web, probe.service("store"))})
    room = render.version_room(named)
    release = release_id(version, room=room)
    for container in (f"{stack}-{release}-{service}-{MOST_REPLICAS}", f"{stack}-{release}-job"):
        assert len(container) <= 63, container
    assert room >= 11
    assert release.startswith(version[:10])


@pytest.mark.parametrize("key", sorted(CARRIED))
def test_composes_keys_arrive_as_they_are(tmp_path: Path, key: str) -> None:
    services = {name: {key: CARRIED[key]} for name in ("web", "store")}
    assert document(tmp_path, services=services)["services"]["web"][key] == CARRIED[key]
    env, _, stack = values.settings(tmp_path, services=services)
    assert render.accessory_document(env, stack)["services"]["store"][key] == CARRIED[key]


def test_all_keys_that_are_carried_are_tried() -> None:
    looked_at = {
        "build",
        "depends_on",
        "deploy",
        "environment",
        "expose",
        "image",
        "labels",
        "ports",
        "secrets",
        "user",
        "volumes",
    }
    assert set(CARRIED) | looked_at == composekeys.SERVICE - composekeys.SERVICE_REFUSED.keys()


def test_keys_that_are_looked_at_arrive_too(tmp_path: Path) -> None:
    web = {
        "labels": ["team=ml"],
        "expose": ["9"],
        "user": "7:7",
        "volumes": ["store:/data:ro", "/srv/models:/models:ro"],
        "secrets": [{"source": "token", "target": "t"}],
        "deploy": {"resources": {"limits": {"cpus": "0.5", "memory": "64m", "pids": 9}}, "restart_policy": {"delay": "1s"}},
        "environment": ["A=b"],
    }  # fmt: skip
    found = document(tmp_path, services={"web": web})
    section = found["services"]["web"]
    assert section["labels"]["team"] == "ml"
    assert section["labels"]["slipway.service"] == "web"
    assert section["deploy"] == {**web["deploy"], "replicas": 1}
    assert section["environment"]["A"] == "b"
    for key in ("expose", "user", "volumes", "secrets"):
        assert section[key] == web[key]
    assert found["volumes"] == {"store": {"name": "slipway-probe-store", "external": True}}
    assert found["secrets"] == {"token": {"file": "./secrets/token"}}


def test_an_accessorys_own_ports_stay_beside_those_for_other_hosts(tmp_path: Path) -> None:
    services = {"store": {"ports": ["127.0.0.1:6379:6379"], "labels": {"team": "ml"}}}
    env, _, stack = values.settings(tmp_path, hosts=2, services=services)
    store = render.accessory_document(env, stack)["services"]["store"]
    assert store["ports"] == ["127.0.0.1:6379:6379", "192.0.2.1:6379:6379"]
    assert store["labels"] == {
        "team": "ml",
        "slipway.stack": "probe",
        "slipway.service": "store",
        "slipway.role": "accessory",
    }


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (["db:192.0.2.9"], ["db:192.0.2.9", "store:192.0.2.1"]),
        ({"db": "192.0.2.9"}, {"db": "192.0.2.9", "store": "192.0.2.1"}),
    ],
)
def test_a_services_own_hosts_stay_beside_the_accessories(tmp_path: Path, own: Any, expected: Any) -> None:
    found = document(tmp_path, hosts=2, first=False, services={"web": {"extra_hosts": own}})
    assert found["services"]["web"]["extra_hosts"] == expected


def test_a_private_address_is_where_other_hosts_find_accessories(tmp_path: Path) -> None:
    env, entry, stack = values.settings(tmp_path, hosts=2)
    hosts = tuple(h.model_copy(update={"private_address": f"10.0.0.{n}"}) for n, h in enumerate(env.hosts, 1))
    env = env.model_copy(update={"hosts": hosts})
    content = render.app_content(env, entry, stack, values.DIGESTS)
    found = render.app_document(content, stack, "v1-abc", "v1", False)
    assert found["services"]["web"]["extra_hosts"] == {"store": "10.0.0.1"}
    assert render.accessory_document(env, stack)["services"]["store"]["ports"] == ["10.0.0.1:6379:6379"]


def test_a_job_is_in_the_file_but_starts_only_when_asked(tmp_path: Path) -> None:
    services = {"seed": {"build": "./web", "command": ["seed"], "x-slipway": {"role": "job"}}}
    env, entry, stack = values.settings(tmp_path, services=services)
    content = render.app_content(env, entry, stack, {**values.DIGESTS, "seed": "seed@sha256:0"})
    seed = render.app_document(content, stack, "v1-abc", "v1", True)["services"]["seed"]
    assert (seed["profiles"], seed["command"], seed["image"]) == (["job"], ["seed"], "seed@sha256:0")
    assert seed["environment"]["SLIPWAY_RELEASE"] == "v1-abc"
    assert seed["labels"]["slipway.role"] == "job"
    assert "restart" not in seed
