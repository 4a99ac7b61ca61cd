"""Runs on a host as root: the effective state of what provisioning set up, as JSON. Standard library only."""

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

ASKED = json.loads(sys.argv[1])
UNITS = [
    "docker.service",
    "containerd.service",
    "user.slice",
    "slipway-firewall.service",
    "slipway-reap.timer",
    "slipway-reap.service",
    "slipway-backup.timer",
    "slipway-backup.service",
    "slipway-drill.timer",
    "slipway-rotate.timer",
    "apt-daily-upgrade.timer",
    "logrotate.timer",
    "systemd-timesyncd.service",
    "chrony.service",
    "ntpsec.service",
    "openntpd.service",
]
PATHS = [
    "/etc/docker/daemon.json",
    "/etc/ssh/sshd_config.d/0-slipway.conf",
    "/var/lib/slipway",
    "/var/lib/slipway/agent",
    "/var/lib/slipway/logs",
    "/var/lib/slipway/stacks",
    "/var/lib/slipway/proxy",
    "/var/lib/slipway/proxy/stacks",
    "/var/lib/slipway/proxy/run",
    "/var/lib/slipway/provisioned.json",
    "~/.ssh",
    "~/.ssh/authorized_keys",
]


def out(*argv):
    """Return what a command prints; '' where it fails, so that one broken thing hides no other."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def parsed(text):
    try:
        return json.loads(text or "{}")
    except ValueError:
        return {}


def sshd():
    """Return the settings in effect for root from anywhere: a Match block may say otherwise than the rest."""
    found = {}
    for line in out("/usr/sbin/sshd", "-T", "-C", "user=root,host=client.invalid,addr=192.0.2.1").splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def listening():
    """Return the TCP ports that listen on more than the loopback."""
    ports = set()
    for line in out("ss", "-Htln").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        if not address.strip("[]").startswith(("127.", "::1")):
            ports.add(int(port))
    return sorted(ports)


def paths():
    found = {}
    for name in PATHS:
        path = Path(name.replace("~", home()))
        if not path.exists():
            continue
        state = path.stat()
        found[name] = {
            "mode": state.st_mode & 0o7777,
            "owner": user_name(state.st_uid),
            "group": group_name(state.st_gid),
            "text": path.read_text() if path.is_file() else "",
        }
    return found


def home():
    try:
        return pwd.getpwnam(ASKED["user"]).pw_dir
    except KeyError:
        return "/nonexistent"


def user_name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid):
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def units():
    text = out(
        "systemctl", "show", "--property=Id,LoadState,ActiveState,SubState,UnitFileState,Result,CPUWeight", *UNITS
    )
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in text.strip().split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def chains(rules):
    found = [item["chain"] for item in rules.get("nftables", []) if "chain" in item]
    return {chain["name"]: chain for chain in found}


def main():
    os.environ["PATH"] = "/usr/sbin:/sbin:" + os.environ.get("PATH", "/usr/bin:/bin")
    table = ["list", "table", "inet", "slipway"]
    state = {
        "engine": parsed(out("docker", "info", "--format", "{{json .}}")),
        "daemon": parsed(
            Path("/etc/docker/daemon.json").read_text() if Path("/etc/docker/daemon.json").exists() else ""
        ),
        "sshd": sshd(),
        "chains": chains(parsed(out("nft", "-j", *table))),
        "rules": out("nft", *table),
        "listening": listening(),
        "paths": paths(),
        "units": units(),
        "sudo": out("sudo", "-n", "-l", "-U", ASKED["user"]),
        "compose": out("docker", "compose", "version", "--short").strip(),
        "upgrades": out("apt-config", "dump", "APT::Periodic::Unattended-Upgrade"),
    }
    json.dump(state, sys.stdout)


main()
