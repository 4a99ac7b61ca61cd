"""What cannot work: an engine, a host, a key, a registry, a port that is not as it should be. What served still serves."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.support.site import Site, eventually


def rented(
    probe: Site, tmp_path: Path, *, address: str = "", port: int = 22, registry: str = "127.0.0.1:1"
) -> dict[str, str]:
    """Write an environment `rented` of one host, as if the lab's were somebody's; return the variables to log in with."""
    lab = probe.checkout.lab(probe.env)
    address = address or lab["hosts"][0]["address"]
    probe.checkout.write(
        "envs/rented.yml",
        f"hosts:\n  - {{name: app1, address: {address}, port: {port}}}\n"
        f"registry: {{push: '{registry}', insecure: true}}\nstacks: [{{name: fresh, port: 8300}}]\nallow_dirty: true\n",
    )
    probe.checkout.write("envs/known_hosts", Path(lab["known_hosts"]).read_text())
    ssh = tmp_path / ".ssh"
    ssh.mkdir(mode=0o700)
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


def test_a_port_that_somebody_else_has(probe: Site) -> None:
    """The front door of another stack cannot open: exit 1, and the doors that are open stay open."""
    other = Site(probe.checkout, probe.env, "other", 8398)
    probe.on("systemd-run", "--unit", "squatter", "python3", "-m", "http.server", "8398")
    eventually(lambda: ":8398" in probe.on("ss", "-Htln"), within=10)
    before = probe.settled()
    try:
        with probe.visitor() as visitor:
            failed = other.deploy().exits(1)
        visitor.happy()
        assert "8398" in failed.err
        assert probe.footprint() == before
        assert not other.containers()
    finally:
        probe.on("systemctl", "stop", "squatter")


def test_an_engine_that_does_not_answer(probe: Site) -> None:
    with probe.visitor() as visitor:
        failed = probe.deploy_with(DOCKER_HOST="unix:///nowhere/docker.sock").exits(1)
    visitor.happy()
    assert "the container engine does not answer" in failed.err
    assert failed.seconds < 60


def test_an_engine_that_one_may_not_use(probe: Site, tmp_path: Path) -> None:
    client = tmp_path / "docker"
    client.write_text(
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Docker version 20.10.24' && exit\n"
        "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1\n"
    )
    client.chmod(0o755)
    kept = [probe.checkout.path / ".slipway" / name for name in ("docker-client.json", "docker-by-sudo")]
    try:
        failed = probe.deploy_with(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}").exits(1)
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
