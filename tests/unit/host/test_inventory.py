"""What Ansible is told of an environment, and when hosts count as provisioned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from slipway.host.inventory import ANSIBLE, Needs, digest, internal_ports, inventory, needs, variables
from slipway.settings.logs import LogFile, Logs
from slipway.settings.model import Environment, Host, Registry, Service, Stack, StackEntry

MIRROR = Registry(push="127.0.0.1:5000", pull="registry.internal:5000/team", insecure=True, mirror=True)


def environment(**values: Any) -> Environment:
    hosts = (Host(name="app1", address="192.0.2.1", admin="ops"), Host(name="app2", address="b.example", port=2222))
    stacks = (StackEntry(name="shop", port=8080), StackEntry(name="blog"))
    return Environment(**{"name": "staging", "hosts": hosts, "stacks": stacks, **values})


def told(env: Environment, **values: Any) -> dict[str, Any]:
    return inventory(env, Needs(), **{"key_file": None, "ssh_config": Path("/c"), **values})["all"]


def test_hosts_are_reached_as_the_settings_say() -> None:
    host = told(environment())["hosts"]["app2"]
    assert (host["ansible_host"], host["ansible_port"], host["ansible_user"]) == ("b.example", 2222, "admin")
    assert host["deploy_user"] == "deploy"


def test_every_connection_goes_by_one_file() -> None:
    """A file, since ssh hands options of its command line on to no jump host."""
    words = told(environment(), ssh_config=Path("/my envs/ssh_config"))["vars"]["ansible_ssh_common_args"]
    assert words == "-F '/my envs/ssh_config'"


def test_peers_are_the_other_hosts_at_their_private_addresses() -> None:
    hosts = (*environment().hosts, Host(name="app3", address="192.0.2.3", private_address="10.0.0.3"))
    found = told(environment(hosts=hosts))["hosts"]
    assert found["app1"]["peers"] == ["10.0.0.3", "b.example"]
    assert found["app3"]["peers"] == ["192.0.2.1", "b.example"]


def test_front_ports_are_the_stacks() -> None:
    assert variables(environment())["front_ports"] == [80, 8080]


def test_registry_as_the_hosts_see_it() -> None:
    found = variables(environment(registry=MIRROR))
    assert found["registry_mirrors"] == ["http://registry.internal:5000"]
    assert found["insecure_registries"] == ["registry.internal:5000"]


def test_a_registry_that_is_no_mirror_and_speaks_tls_needs_no_setting() -> None:
    found = variables(environment(registry=Registry(push="registry.example/team")))
    assert (found["registry_mirrors"], found["insecure_registries"]) == ([], [])


def test_keys_of_the_settings_take_the_place_of_the_admins(tmp_path: Path) -> None:
    key = tmp_path / "id"
    key.with_name("id.pub").write_text("ssh-ed25519 AAAAmine me\n")
    own = told(environment(deploy_keys=("ssh-ed25519 AAAAteam team",)), key_file=key)["vars"]
    assert own["deploy_keys"] == ["ssh-ed25519 AAAAteam team", "ssh-ed25519 AAAAmine me"]
    assert own["deploy_keys_of_admin"] is False
    assert told(environment())["vars"]["deploy_keys_of_admin"] is True


def test_internal_ports_are_what_accessories_expose() -> None:
    services = (
        Service(name="db", role="accessory", image="postgres:17", compose={"expose": ["5432", "9187/tcp"]}),
        Service(name="cache", role="accessory", image="redis:8", compose={"expose": [6379]}),
        Service(name="api", role="app", compose={"expose": ["8000"]}),
    )
    assert internal_ports([Stack(name="shop", folder="/x", services=services)]) == (5432, 6379, 9187)


FILES = (
    {
        "stack": "shop", "service": "web", "volume": "slipway-shop-audit", "path": "deep/*.log", "user": 10001, "group": 10002,
        "reopen": "USR1", "size": 512000, "keep": 3, "days": 7,
    },
)  # fmt: skip


def test_files_that_services_write_are_rotated_where_they_are_on_the_host() -> None:
    file = LogFile(path="/var/log/audit/deep/*.log", reopen="USR1", size="500k", keep=3, max_age=7 * 86400.0)
    volumes = [
        "all:/var/log",
        {"type": "volume", "source": "audit", "target": "/var/log/audit"},
        "/etc:/var/log/audit/deep:ro",
    ]
    web = Service(name="web", role="app", compose={"user": "10001:10002", "volumes": volumes}, logs=(file,))
    found = needs([Stack(name="shop", folder="/x", services=(web,))])
    assert found.log_files == FILES
    assert digest(environment(), found) != digest(environment()), "a host that does not know of it is to be provisioned"
    assert variables(environment(), found)["rotated_files"] == list(FILES)


def test_digest_is_stable() -> None:
    first = digest(environment(), Needs((6379, 5432)))
    assert first == digest(environment(), Needs((5432, 6379)))
    assert len(first) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"hosts": environment().hosts[:1]},
        {"registry": MIRROR},
        {"stacks": (StackEntry(name="shop", port=443),)},
        {"deploy_keys": ("ssh-ed25519 AAAA x",)},
        {"logs": Logs(size="50m")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_digest_follows_what_a_host_is_told(change: dict[str, Any]) -> None:
    assert digest(environment(**change)) != digest(environment())


def test_digest_ignores_what_no_host_is_told() -> None:
    assert digest(environment(keep_releases=9)) == digest(environment())


def test_digest_follows_the_playbook_but_not_its_leftovers(tmp_path: Path) -> None:
    tree = tmp_path / "ansible"
    shutil.copytree(ANSIBLE, tree)
    before = digest(environment(), tree=tree)
    assert before == digest(environment())
    (tree / "plugins/callback/__pycache__").mkdir(exist_ok=True)
    (tree / "plugins/callback/__pycache__/x.pyc").write_text("x")
    assert digest(environment(), tree=tree) == before
    (tree / "roles/ssh/templates/sshd.conf.j2").open("a").write("UsePAM no\n")
    assert digest(environment(), tree=tree) != before


def test_inventory_is_json() -> None:
    value = inventory(environment(registry=MIRROR), Needs((5432,), FILES), key_file=None, ssh_config=Path("/c"))
    assert json.loads(json.dumps(value)) == value
