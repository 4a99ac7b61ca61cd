"""What a host is given: the Compose file of a release and of the accessories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from slipway.target.compose import render
from tests.support import values


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


def test_ids_are_names_and_tell_contents_apart() -> None:
    one, two = (render.release_id("Feature/X_1 ", {"n": n}) for n in (1, 2))
    assert one.startswith("feature-x-1-")
    assert one != two
    assert render.release_id("ü", {}).startswith("v-")
    assert render.release_id("Feature/X_1 ", {"n": 1}) == one
