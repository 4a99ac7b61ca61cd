"""A provisioned host: users, SSH, engine, firewall, folders, timers. Looks as the admin user, through sudo."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

from tests.verify.look import Server
from tests.verify.provision.reach import reachable

PACKAGES = ["acl", "ca-certificates", "logrotate", "nftables", "python3", "unattended-upgrades"]
TIME_DAEMONS = ["systemd-timesyncd.service", "chrony.service", "ntpsec.service", "openntpd.service"]
SSH = {
    "passwordauthentication": "no",
    "kbdinteractiveauthentication": "no",
    "permitemptypasswords": "no",
    "pubkeyauthentication": "yes",
    "x11forwarding": "no",
    "maxsessions": "64",
}
FOLDERS = [f"/var/lib/slipway{name}" for name in ("", "/agent", "/logs", "/stacks", "/proxy", "/proxy/stacks")]


def test_packages_are_installed(host: Host) -> None:
    listed = host.check_output("dpkg-query -W -f '${Package} ${db:Status-Status}\\n'").split("\n")
    missing = [name for name in PACKAGES if f"{name} installed" not in listed]
    assert not missing, f"not installed: {', '.join(missing)}"


def test_compose_v2_is_there(server: Server) -> None:
    assert re.match(r"v?([2-9]|\d\d)\.", server.compose), f"`docker compose version` says {server.compose!r}"


@pytest.mark.parametrize(
    "unit",
    ["docker.service", "containerd.service", "slipway-firewall.service", "slipway-reap.timer", "slipway-rotate.timer"],
)
def test_unit_runs_now_and_at_each_start(server: Server, unit: str) -> None:
    state = server.units.get(unit, {})
    seen = f"{unit} is {state.get('ActiveState')} and {state.get('UnitFileState') or 'not installed'}"
    assert (state.get("ActiveState"), state.get("UnitFileState")) == ("active", "enabled"), seen


@pytest.mark.parametrize(("unit", "key"), [("slipway-backup", "backup_schedule"), ("slipway-drill", "drill_schedule")])
def test_backups_and_drills_are_due(server: Server, facts: dict[str, Any], unit: str, key: str) -> None:
    """The host's timers run where the environment has backups, and nowhere else."""
    state = server.units.get(f"{unit}.timer", {})
    wanted = "active" if facts["provision"].get(key) else "inactive"
    assert state.get("ActiveState") == wanted, f"{unit}.timer is {state.get('ActiveState')}"


def test_timer_has_not_failed(server: Server) -> None:
    state = server.units["slipway-reap.service"]
    assert state["ActiveState"] != "failed", f"slipway-reap.service failed: {state['Result']}"


def test_security_updates_come_in(server: Server) -> None:
    assert '"1"' in server.upgrades, f"apt says {server.upgrades.strip()!r}"
    assert server.units["apt-daily-upgrade.timer"]["ActiveState"] == "active", "apt-daily-upgrade.timer does not run"


def test_logs_are_rotated(server: Server) -> None:
    assert server.units["logrotate.timer"]["ActiveState"] == "active", "logrotate.timer does not run"


def test_clock_is_kept(host: Host, server: Server) -> None:
    container = host.run("systemd-detect-virt --container")
    if container.rc == 0:
        pytest.skip(f"the clock is the machine's: this host is a container ({container.stdout.strip()})")
    active = [unit for unit in TIME_DAEMONS if server.units.get(unit, {}).get("ActiveState") == "active"]
    assert len(active) == 1, f"daemons that keep the clock: {', '.join(active) or 'none'}"


def test_deploy_user_may_use_the_engine_and_nothing_else(
    root: Host, server: Server, host_facts: dict[str, Any]
) -> None:
    user = root.user(host_facts["user"])
    assert user.exists, f"there is no user {user.name}"
    assert "docker" in user.groups, f"{user.name} is in {', '.join(user.groups)}"
    assert not {"sudo", "admin", "root"} & set(user.groups), f"{user.name} is in {', '.join(user.groups)}"
    assert "may run the following" not in server.sudo, f"{user.name} may use sudo:\n{server.sudo}"


def test_deploy_user_has_no_password(root: Host, host_facts: dict[str, Any]) -> None:
    password = root.user(host_facts["user"]).password
    assert password.startswith(("!", "*")), f"{host_facts['user']} has a password"


def test_deploy_user_logs_in_with_keys(server: Server, host_facts: dict[str, Any]) -> None:
    user, keys = host_facts["user"], server.paths.get("~/.ssh/authorized_keys", {})
    assert keys.get("text", "").strip(), f"{user} has no authorized_keys"
    assert (keys["owner"], keys["mode"]) == (user, 0o600), f"authorized_keys: {keys['owner']} {keys['mode']:o}"
    folder = server.paths["~/.ssh"]
    assert (folder["owner"], folder["mode"]) == (user, 0o700), f".ssh: {folder['owner']} {folder['mode']:o}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_is_the_deploy_users(server: Server, host_facts: dict[str, Any], folder: str) -> None:
    _check_path(server, folder, host_facts["user"], host_facts["user"], 0o750)


def test_folder_of_the_routers_sockets(server: Server, host_facts: dict[str, Any]) -> None:
    state = server.paths.get("/var/lib/slipway/proxy/run", {})
    owner = "99" if state.get("owner", "").isdigit() else state.get("owner", "99")  # a name, where the host gave 99 one
    _check_path(server, "/var/lib/slipway/proxy/run", owner, host_facts["user"], 0o770)


def test_marker_is_readable(server: Server, host_facts: dict[str, Any]) -> None:
    _check_path(server, "/var/lib/slipway/provisioned.json", "root", host_facts["user"], 0o640)
    marker = json.loads(server.paths["/var/lib/slipway/provisioned.json"]["text"])
    assert re.fullmatch("[0-9a-f]{64}", marker["digest"]), marker


def _check_path(server: Server, path: str, owner: str, group: str, mode: int) -> None:
    state = server.paths.get(path)
    assert state, f"{path} is missing"
    seen = f"{path} is {state['owner']}:{state['group']} {state['mode']:04o}, not {owner}:{group} {mode:04o}"
    assert (state["owner"], state["group"], state["mode"]) == (owner, group, mode), seen


def test_containers_survive_the_engine(server: Server) -> None:
    assert server.engine.get("LiveRestoreEnabled") is True, "live-restore is off"


@pytest.mark.parametrize(("unit", "most"), [("docker.service", 50), ("containerd.service", 50), ("user.slice", 20)])
def test_what_serves_comes_first(server: Server, unit: str, most: int) -> None:
    weight = server.units.get(unit, {}).get("CPUWeight", "")
    assert weight.isdigit() and int(weight) <= most, f"{unit} has CPUWeight {weight or 'unknown'}; containers have 100"


def test_container_logs_end(server: Server, facts: dict[str, Any]) -> None:
    options = server.daemon.get("log-opts", {})
    assert server.engine.get("LoggingDriver") == "json-file", f"log driver {server.engine.get('LoggingDriver')}"
    wanted = {
        "max-size": facts["provision"]["log_size"],
        "max-file": str(facts["provision"]["log_files"]),
        "compress": "true",
    }
    assert wanted.items() <= options.items(), f"daemon.json has log-opts {options}, not {wanted}"


def test_engine_asks_the_mirrors(server: Server, facts: dict[str, Any]) -> None:
    mirrors = [url.rstrip("/") for url in (server.engine.get("RegistryConfig") or {}).get("Mirrors") or []]
    assert mirrors == facts["provision"]["registry_mirrors"], f"the engine's mirrors: {mirrors}"


def test_engine_trusts_plain_http_only_where_told(server: Server, facts: dict[str, Any]) -> None:
    indexes = (server.engine.get("RegistryConfig") or {}).get("IndexConfigs") or {}
    insecure = sorted(name for name, index in indexes.items() if not index["Secure"])
    assert insecure == sorted(facts["provision"]["insecure_registries"]), (
        f"the engine's insecure registries: {insecure}"
    )


def test_networks_are_small(server: Server) -> None:
    pools = server.engine.get("DefaultAddressPools") or []
    assert pools, "the engine uses its built-in address pools, which end after 30 networks"
    assert all(pool["Size"] >= 24 for pool in pools), f"address pools {pools}"


@pytest.mark.parametrize("key", SSH)
def test_ssh_server(server: Server, key: str) -> None:
    assert server.sshd.get(key) == [SSH[key]], f"sshd -T: {key} {server.sshd.get(key)}, not {SSH[key]}"


def test_root_does_not_log_in(server: Server, host_facts: dict[str, Any]) -> None:
    # Where root is the only user there is to provision with, it keeps its key.
    wanted = {"without-password", "prohibit-password"} if host_facts["admin"] == "root" else {"no"}
    assert set(server.sshd.get("permitrootlogin", [])) <= wanted, (
        f"sshd -T: permitrootlogin {server.sshd.get('permitrootlogin')}"
    )


def test_firewall_denies_by_default(server: Server) -> None:
    chain = server.chains.get("input", {})
    assert chain, "table inet slipway has no input chain: the rules are not loaded"
    assert (chain.get("hook"), chain.get("policy")) == ("input", "drop"), f"input chain: {chain}"


def test_firewall_covers_published_container_ports(server: Server) -> None:
    assert server.chains.get("forward", {}).get("hook") == "forward", (
        "table inet slipway does not see forwarded packets"
    )
    body = server.rules.partition("chain containers {")[2].partition("}\n")[0]
    assert "jump containers" in server.rules, "nothing leads to the containers' rules"
    assert re.search(r"drop\s*$", body.strip().strip("}").strip()), (
        f"the containers' rules do not end in a drop:\n{body}"
    )


def test_firewall_opens_ssh_and_the_front_door(server: Server, facts: dict[str, Any]) -> None:
    rules = re.findall(r"^\s*tcp dport \{? ?([\d, ]+?) ?\}? accept", server.rules, re.M)
    opened = {int(port) for rule in rules for port in rule.split(",")}
    wanted = {int(port) for port in server.sshd.get("port", [])} | set(facts["provision"]["front_ports"])
    assert opened == wanted, f"open to everybody: {sorted(opened)}, wanted: {sorted(wanted)}"


def test_nothing_else_can_be_reached(
    host: Host, server: Server, facts: dict[str, Any], host_facts: dict[str, Any]
) -> None:
    told = facts["provision"]
    allowed = {int(p) for p in server.sshd.get("port", [])} | set(told["front_ports"]) | set(told["internal_ports"])
    opened = reachable(host, host_facts["address"], sorted(set(server.listening) - allowed))
    assert not opened, f"answers from outside: port {', '.join(map(str, opened))}"
