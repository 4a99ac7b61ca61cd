"""Each verification suite can fail: a host broken by hand is found by its suite, which names what is wrong; mended, it passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import stacks
from tests.support.site import Site


@contextmanager
def broken(site: Site, breaks: str, mends: str) -> Iterator[None]:
    """Break the host with one shell command and mend it with another."""
    site.on("sh", "-c", breaks)
    try:
        yield
    finally:
        site.on("sh", "-c", mends)


def finds(site: Site, step: str, *words: str) -> None:
    found = site.inv("verify", "--step", step).exits(1)
    for word in words:
        assert word in found.err, found.err
    assert f"checks of the suite {step} failed" in found.err
    assert f"inv verify --env {site.env} --step {step}" in found.err


def server(site: Site) -> str:
    """Return a server of the live release in the router, as `backend/server`."""
    return next(name for name, weight in site.weights().items() if weight and name.startswith("probe:web/"))


@pytest.mark.parametrize("step", ["deploy", "rollback"])
def test_shares_that_the_router_does_not_give(probe: Site, step: str) -> None:
    name = server(probe)
    probe.router(f"set weight {name} 0")
    try:
        finds(probe, step, "every replica takes requests[web]", "app1")
    finally:
        probe.router(f"set weight {name} 100")
    probe.inv("verify", "--step", step).ok()


def test_a_container_that_was_stopped(probe: Site) -> None:
    live = probe.live()
    name = f"probe-{live}-web-2"
    with broken(probe, f"docker stop --time 1 {name}", f"docker start {name}"):
        finds(probe, "deploy", "replicas run[web]: 1 of 2 run", name)
        assert probe.inv("status").code == 1


def test_a_deploy_mends_what_was_broken_by_hand(probe: Site) -> None:
    """The live release is what the tree says, but not whole: the same command makes it whole, and it stays the release."""
    stacks.behave(probe.checkout, "to be mended")
    probe.deploy().ok()
    live = probe.live()
    probe.on("docker", "rm", "--force", f"probe-{live}-web-1")
    with probe.visitor() as visitor:
        done = probe.deploy().ok()
    visitor.happy()
    assert not done.out.startswith("nothing to do")
    assert probe.live() == live
    assert probe.status()["healthy"]
    assert probe.deploy().ok().out.startswith("nothing to do")


def test_a_secret_that_everybody_may_read(probe: Site) -> None:
    path = f"/var/lib/slipway/stacks/probe/releases/{probe.live()}/secrets/token"
    with broken(
        probe, f"getfacl --absolute-names {path} > /run/acl; setfacl -m o::r {path}", "setfacl --restore=/run/acl"
    ):
        finds(probe, "deploy", "secret files are closed", path)


def test_a_database_that_is_behind(probe: Site) -> None:
    store = "docker exec probe-accessories-store-1 redis-cli"
    with broken(probe, f"{store} del schema", f"{store} set schema 1"):
        finds(probe, "migrate", "no migration waits", "001_begin")
    probe.inv("verify", "--step", "migrate").ok()


BROKEN = {
    "open port": ("nft add rule inet slipway input tcp dport 9999 accept", "firewall opens ssh and the front door"),
    "folder": ("chmod 0777 /var/lib/slipway/stacks", "/var/lib/slipway/stacks"),
    "timer": ("systemctl disable --now slipway-reap.timer", "slipway-reap.timer is inactive"),
    "ssh": (
        "sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes/' /etc/ssh/sshd_config.d/0-slipway.conf;"
        " systemctl reload ssh",
        "passwordauthentication ['yes']",
    ),
    "engine": (
        "sed -i 's/\"live-restore\": true/\"live-restore\": false/' /etc/docker/daemon.json && systemctl reload docker",
        "live-restore is off",
    ),
}  # fmt: skip


def test_drift_of_a_host_is_found_and_repaired(probe: Site) -> None:
    """One pass for all breakages: the suite names each, the plan shows them, the next provisioning repairs them."""
    with probe.visitor() as visitor:
        for command, _ in BROKEN.values():
            probe.on("sh", "-c", command)
        finds(probe, "provision", *[words for _, words in BROKEN.values()])
        plan = probe.inv("provision", "--plan").ok()
        assert "nothing would change" not in plan.out
        assert re.search(r'^    - .*"live-restore": false', plan.out, re.M), "with what differs"
        assert re.search(r'^    \+ .*"live-restore": true', plan.out, re.M)
        assert "✓ Verify provision" in probe.inv("provision").ok().out
    visitor.happy()


def offered(site: Site) -> str:
    """Return how the sshd that runs lets people log in, by its own words."""
    options = [
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "PreferredAuthentications=none",
    ]
    return site.on("sh", "-c", f"ssh {' '.join(options)} nobody@127.0.0.1 true 2>&1 | tail -1; true")


def test_settings_that_a_killed_provisioning_wrote_and_never_loaded(probe: Site) -> None:
    """The files are right, as the run left them; the daemons still have what was before. The next provisioning loads them.

    Logging is what a reload of the engine does not load. Containers outlive its restart, even where they would not have before.
    """
    for name in ("ssh", "engine"):
        probe.on("sh", "-c", BROKEN[name][0])
    probe.on(
        "sed", "-i", "s/^PasswordAuthentication yes/PasswordAuthentication no/", "/etc/ssh/sshd_config.d/0-slipway.conf"
    )
    probe.on("sed", "-i", 's/"live-restore": false/"live-restore": true/', "/etc/docker/daemon.json")
    probe.on("touch", "/run/slipway-restart-engine")
    assert "password" in offered(probe)

    def started() -> dict[str, str]:
        """Without `tick`: it ends by itself when the store's name is not found, as while the engine is away."""
        return {n: c["started"] for n, c in probe.containers().items() if c["service"] != "tick"}

    pid, before = probe.on("cat", "/run/docker.pid"), started()
    with probe.visitor() as visitor:
        done = probe.inv("provision").ok()
    visitor.happy()
    assert "nothing changed" not in done.out
    assert "(publickey)" in offered(probe)
    assert probe.on("docker", "info", "--format", "{{.LiveRestoreEnabled}}").strip() == "true"
    assert probe.on("cat", "/run/docker.pid") != pid
    assert started() == before
    assert probe.status()["healthy"]


def test_ssh_settings_that_others_bring(probe: Site) -> None:
    """What a cloud image brings does not win; what wins all the same is found, by the next provisioning, too."""
    folder = "/etc/ssh/sshd_config.d"
    with broken(probe, f"echo PermitRootLogin yes > {folder}/00-cloud.conf", f"rm {folder}/00-cloud.conf"):
        probe.inv("verify", "--step", "provision").ok()
    block = "Match User root\n  PermitRootLogin yes\n"
    with broken(probe, f"printf '{block}' > {folder}/99-root.conf", f"rm {folder}/99-root.conf"):
        finds(probe, "provision", "root does not log in", "permitrootlogin ['yes']")
        found = probe.inv("provision").exits(1)
        assert "root does not log in" in found.err
        assert "Provision app1: nothing changed" in found.text
    probe.inv("verify", "--step", "provision").ok()


def test_a_step_that_there_is_not(probe: Site) -> None:
    refused = probe.inv("verify", "--step", "deplyo").exits(2)
    assert "provision, migrate, deploy, rollback" in refused.err


def test_all_that_apply_are_run(probe: Site) -> None:
    done = probe.inv("verify").ok()
    for step in ("provision", "deploy", "migrate"):
        assert f"✓ Verify {step}" in done.out
