"""The ssh_config of a run, as OpenSSH itself reads it: whose host keys count, whatever a person's own file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.host import ssh, verify
from slipway.process import run
from slipway.settings.model import Environment, Host, StackEntry

HOSTS = (Host(name="app1", address="192.0.2.1", port=2222), Host(name="app2", address="b.example"))
OWN = """\
Host 192.0.2.1
    ProxyJump bastion
    IdentityFile /mine
Host bastion
    HostName 127.0.0.1
    Port 1
Host *
    StrictHostKeyChecking no
    UserKnownHostsFile /mine/known_hosts
    GlobalKnownHostsFile /mine/known_hosts
    KnownHostsCommand /mine/command
    VerifyHostKeyDNS yes
    NoHostAuthenticationForLocalhost yes
"""
STRICT = {
    "stricthostkeychecking": "true",
    "userknownhostsfile": "/my envs/known_hosts",
    "globalknownhostsfile": "/dev/null",
    "verifyhostkeydns": "false",
    "nohostauthenticationforlocalhost": "no",
    "batchmode": "yes",
}
Config = Callable[..., Path]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Write the file of a run, on the machine of somebody whose own configuration is careless."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/config").write_text(OWN)

    def write(key_file: Path | None = None, control_dir: Path | None = None) -> Path:
        file = tmp_path / "config"
        known = Path("/my envs/known_hosts")
        file.write_text(ssh.config(HOSTS, key_file=key_file, known_hosts=known, control_dir=control_dir))
        return file

    return write


def read(file: Path, host: str) -> dict[str, str]:
    """Return what ssh would do for a host."""
    lines = run(["ssh", "-F", file, "-G", host]).out.splitlines()
    return dict(line.partition(" ")[::2] for line in lines)


@pytest.mark.parametrize("host", ["192.0.2.1", "b.example", "bastion"])
def test_only_the_environments_keys_count_for_jump_hosts_too(config: Config, host: str) -> None:
    found = read(config(), host)
    assert {key: found[key] for key in STRICT} == STRICT
    assert found.get("knownhostscommand", "none") == "none"


def test_a_jump_host_is_reached_by_the_same_file(config: Config) -> None:
    """What ssh says that it starts, on the way to a host behind a jump host."""
    file = config()
    said = run(["ssh", "-v", "-F", file, "192.0.2.1", "true"], check=False).err
    assert f"Setting implicit ProxyCommand from ProxyJump: ssh -F {file} " in said
    assert "127.0.0.1 port 1: Connection refused" in said, "as a person's own file says where it is"


def test_a_persons_own_file_says_how_to_log_in(config: Config) -> None:
    found = read(config(), "192.0.2.1")
    assert (found["proxyjump"], found["identityfile"]) == ("bastion", "/mine")


def test_a_given_key_is_the_only_one_that_is_tried(config: Config) -> None:
    found = read(config(key_file=Path("/lab/key")), "192.0.2.1")
    assert (found["identityfile"], found["identitiesonly"]) == ("/lab/key", "yes")
    assert "proxyjump" not in found, "nor is a lab's host looked up in a person's own file"


def test_one_connection_for_many_commands(config: Config, tmp_path: Path) -> None:
    file = config(control_dir=tmp_path)
    found = [read(file, host.address) for host in HOSTS]
    assert {f["controlmaster"] for f in found} == {"auto"}
    assert len({f["controlpath"] for f in found}) == 2
    assert all(f["controlpath"].startswith(f"{tmp_path}/") for f in found)
    assert read(file, "bastion")["controlmaster"] == "false"
    assert read(config(), HOSTS[0].address)["controlmaster"] == "false"


@pytest.mark.parametrize(
    ("address", "url"),
    [("192.0.2.1", "ssh://deploy@192.0.2.1:22"), ("fe80::1%eth0", "ssh://deploy@[fe80::1%25eth0]:22")],
)
def test_testinfra_finds_the_address(address: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from testinfra.backend import parse_hostspec
    from testinfra.backend.ssh import SshBackend

    host = Host(name="app1", address=address)
    env = Environment(name="x", hosts=(host,), stacks=(StackEntry(name="shop"),))
    monkeypatch.setattr(verify.Verifier, "_run", lambda *_: None)
    verifier = verify.Verifier(env, "deploy", key_file=None, known_hosts=Path("/k"))
    try:
        assert verifier._url(host) == url
        found = SshBackend.parse_hostspec(parse_hostspec(url)[0])
        assert (found.user, found.name, found.port) == ("deploy", address, "22")
    finally:
        verifier.close()
