"""What cannot work: an engine, a host, a key, a registry, a port that is not as it should be. What served still serves."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from slipway.lab import engine
from tests.support.site import Site, eventually


def rented(
    probe: Site,
    tmp_path: Path,
    *,
    address: str = "",
    port: int = 22,
    registry: str = "push: '127.0.0.1:1'",
    door: str = "port: 8300, domain: guest.test",
) -> dict[str, str]:
    """Write an environment `rented` of one host, as if the lab's were somebody's; return the variables to log in with."""
    lab = probe.checkout.lab(probe.env)
    address = address or lab["hosts"][0]["address"]
    probe.checkout.write(
        "envs/rented.yml",
        f"hosts:\n  - {{name: app1, address: {address}, port: {port}}}\n"
        f"registry: {{{registry}, insecure: true}}\nstacks: [{{name: guest, {door}}}]\nallow_dirty: true\n",
    )
    probe.checkout.write("envs/known_hosts", Path(lab["known_hosts"]).read_text())
    ssh = tmp_path / ".ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    (ssh / "config").write_text(f"Host *\n  IdentityFile {lab['key_file']}\n")
    return {"HOME": str(tmp_path), "SSH_AUTH_SOCK": ""}


def test_a_registry_that_is_down(probe: Site, tmp_path: Path) -> None:
    home = rented(probe, tmp_path)
    with probe.visitor() as visitor:
        failed = probe.checkout.inv("deploy", "--env", "rented", **home).exits(1)
    visitor.happy()
    assert "127.0.0.1:1: the registry does not answer" in failed.err
    assert "try again" in failed.err


def test_a_host_that_cannot_be_reached(probe: Site, tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        home = rented(probe, tmp_path, address="127.0.0.1", port=port)
        failed = probe.checkout.inv("deploy", "--env", "rented", **home).exits(1)
        assert f"app1 (127.0.0.1:{port})" in failed.err
        status = probe.checkout.inv("status", "--env", "rented", "--format", "json", **home)
    assert status.code == 1
    (host,) = status.json()["hosts"]
    assert (host["name"], host["reachable"], host["services"]) == ("app1", False, [])
    assert "reached over SSH" in host["reason"]
    assert not status.json()["healthy"]


def test_a_host_key_that_nobody_knows(probe: Site, tmp_path: Path) -> None:
    home = rented(probe, tmp_path)
    probe.checkout.write("envs/known_hosts", "")
    for argv in (["deploy"], ["status"]):
        refused = probe.checkout.inv(*argv, "--env", "rented", **home).exits(2)
        assert "host key is unknown" in refused.err
        assert "envs/known_hosts" in refused.err
    assert probe.checkout.read("envs/known_hosts") == "", "nothing is learned by itself"


def test_a_host_key_that_has_changed(probe: Site, tmp_path: Path) -> None:
    home = rented(probe, tmp_path)
    lab = probe.checkout.lab(probe.env)
    other = Path(lab["key_file"]).with_suffix(".pub").read_text().split()[1]
    probe.checkout.write("envs/known_hosts", f"{lab['hosts'][0]['address']} ssh-ed25519 {other}\n")
    with probe.visitor() as visitor:
        refused = probe.checkout.inv("deploy", "--env", "rented", **home).exits(2)
        provision = probe.checkout.inv("provision", "--env", "rented", **home).exits(2)
    visitor.happy()
    assert "the host key is not the one that is known" in refused.err
    assert "key is not the one that is known" in provision.err


def test_a_jump_host_that_nobody_knows(probe: Site, tmp_path: Path) -> None:
    """A person's own configuration leads over a jump host and trusts its key; only the environment's file counts."""
    home = rented(probe, tmp_path)
    lab = probe.checkout.lab(probe.env)
    address = lab["hosts"][0]["address"]
    keys = Path(lab["known_hosts"]).read_text().replace(f"{address},[{address}]:22 ", "jump ")
    (tmp_path / ".ssh/known_hosts").write_text(keys)
    with (tmp_path / ".ssh/config").open("a") as file:
        file.write(
            f"Host {address}\n  ProxyJump jump\nHost jump\n  HostName {address}\n  HostKeyAlias jump\n  User admin\n"
        )
        file.write(f"Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile {tmp_path}/.ssh/known_hosts\n")
    refused = probe.checkout.inv("provision", "--env", "rented", "--plan", **home).exits(2)
    assert f"jump, on the way to app1 ({address}:22)" in refused.err
    assert "ssh-keyscan jump" in refused.err
    probe.checkout.write("envs/known_hosts", Path(lab["known_hosts"]).read_text() + keys)
    probe.checkout.inv("provision", "--env", "rented", "--plan", **home).ok()
    seen = probe.checkout.inv("verify", "--env", "rented", "--step", "provision", **home)
    assert "checks of the suite provision failed" in seen.err, "it looked: this host has another registry"


def test_another_door_and_a_port_that_somebody_else_has(probe: Site, tmp_path: Path) -> None:
    """A deploy opens its door beside those that are open, and one that can't open closes no other."""
    registry = probe.checkout.lab(probe.env)["registry"]
    known = f"push: '{registry['push']}', pull: '{registry['pull']}'"
    home = rented(probe, tmp_path, registry=known, door="port: 8300")
    refused = Site(probe.checkout, "rented", "guest", 8300).inv("deploy", "--plan", **home).exits(2)
    assert "the stack probe has this front door on app1" in refused.err
    home = rented(probe, tmp_path, registry=known, door="port: 8394")
    guest = Site(probe.checkout, "rented", "guest", 8394)
    probe.on("systemd-run", "--unit", "squatter", "python3", "-m", "http.server", "8394")
    eventually(lambda: ":8394" in probe.on("ss", "-Htln"), within=10)
    before = probe.settled()
    try:
        with probe.visitor() as visitor:
            failed = guest.inv("deploy", **home).exits(1)
        visitor.happy()
        assert "port 8394 of this host is taken" in failed.err
        assert probe.footprint() == before
    finally:
        probe.on("systemctl", "stop", "squatter")
    assert "opens port 8394" in guest.inv("deploy", "--plan", **home).ok().out
    with probe.visitor() as visitor:
        guest.inv("deploy", **home).ok()
    visitor.happy()
    assert ":8394" in probe.on("ss", "-Htln")
    assert probe.on("docker", "ps", "--all", "--quiet", "--filter", "name=slipway-proxy-") == "", (
        "nothing of the change is left"
    )


def test_a_stack_belongs_to_one_environment(probe: Site, tmp_path: Path) -> None:
    """Another environment's settings and data would be mixed with these."""
    other = Site(probe.checkout, probe.env, "other", 8398)
    other.deploy().ok()
    registry = probe.checkout.lab(probe.env)["registry"]
    home = rented(probe, tmp_path, registry=f"push: '{registry['push']}', pull: '{registry['pull']}'")
    probe.checkout.edit("envs/rented.yml", "{name: guest, port: 8300, domain: guest.test}", "{name: other, port: 8398}")
    before = other.settled()
    refused = probe.checkout.inv("deploy", "--env", "rented", **home).exits(2)
    assert "belongs to the environment lab" in refused.err
    assert other.footprint() == before


def test_an_engine_that_does_not_answer(probe: Site) -> None:
    with probe.visitor() as visitor:
        failed = probe.deploy_with(DOCKER_HOST="unix:///nowhere/docker.sock").exits(1)
    visitor.happy()
    assert "the container engine does not answer" in failed.err
    assert failed.seconds < 60


def test_an_engine_that_one_may_not_use(probe: Site, tmp_path: Path) -> None:
    client = tmp_path / "docker"
    # The real client at the real socket, as a user who is in no group.
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups" if os.geteuid() == 0 else "sudo -n -u nobody"
    client.write_text(f'#!/bin/sh\nexec {nobody} env HOME=/nonexistent {engine._client()} "$@"\n')
    client.chmod(0o755)
    kept = [probe.checkout.path / ".slipway" / name for name in ("docker-client.json", "docker-by-sudo")]
    try:
        # Where the engine's place is given it is the docker command alone that asks it: only that is another user here.
        given = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "DOCKER_HOST": "unix:///var/run/docker.sock"}
        failed = probe.deploy_with(**given).exits(1)
    finally:
        for note in kept:
            note.unlink(missing_ok=True)
    assert "you may not use the container engine of this machine" in failed.err
    assert "usermod -aG docker" in failed.err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["deploy", "--env", "nosuch"], "there is no environment 'nosuch'"),
        (["deploy", "--env", "lab", "--stack", "proeb"], "proeb"),
        (["status", "--format", "yaml"], "use text or json"),
        (["lock.acquire", "--env", "lab", "--message", ""], "a freeze needs a reason"),
    ],
)
def test_names_that_there_are_not(probe: Site, argv: list[str], words: str) -> None:
    assert words in probe.checkout.inv(*argv).exits(2).err


def test_settings_that_are_wrong_touch_nothing(probe: Site) -> None:
    """All problems at once, with file and line; the nearest right key; exit 2; the host is not even asked."""
    probe.checkout.edit("envs/lab.yml", "allow_dirty: true", "alow_dirty: true\nkeep_releases: many")
    probe.checkout.edit("compose/probe/compose.yaml", "phase: 2\n      route", "phse: 2\n      route")
    with probe.visitor() as visitor:
        refused = probe.deploy().exits(2)
    visitor.happy()
    for words in ("envs/lab.yml:2", "alow_dirty", "allow_dirty", "envs/lab.yml:3", "keep_releases", "phse", "phase"):
        assert words in refused.err
    assert "compose/probe/compose.yaml:" in refused.err
