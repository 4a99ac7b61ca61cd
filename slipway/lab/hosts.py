"""A lab host: a container with systemd and sshd that stands in for a rented machine."""

from __future__ import annotations

import json
import time
from functools import cache

from slipway import process, report
from slipway.errors import SlipwayError
from slipway.lab import engine, free, places
from slipway.lab.images import HOST
from slipway.lab.state import LabHost, LabState

READY_WITHIN = 90.0
"""Seconds that a host gets from its start to a login."""

CONFINED = (
    *("--cap-add", "ALL", "--cap-drop", "SYS_TIME", "--security-opt", "seccomp=unconfined"),
    *("--security-opt", "systempaths=unconfined", "--device-cgroup-rule", "a *:* rwm"),
)
"""What systemd and a nested engine need, named one by one, where the engine itself lacks rights and cannot give all."""


@cache
def rights() -> tuple[str, ...]:
    """Return the options that let a container be a host on this engine (probed once, then remembered)."""
    note = places.home() / "host-rights.json"
    facts = engine.docker("info", "--format", "{{.ID}} {{.CgroupVersion}} {{.SecurityOptions}}").out.strip()
    known = places.read_json(note)
    if isinstance(known, dict) and known.get("engine") == facts:
        return tuple(known["options"])
    options = _probe(facts)
    places.write(note, json.dumps({"engine": facts, "options": options}))
    return options


def _probe(facts: str) -> tuple[str, ...]:
    if facts.split()[1] == "2" and _works("--privileged"):
        return ("--privileged", "--cgroupns", "private")
    options = [*CONFINED, "--cgroupns", "private"]
    if "apparmor" in facts:
        options += ["--security-opt", "apparmor=unconfined"]
    if not _works(*options):  # an engine without a right cannot hand it on
        options += ["--cap-drop", "SYS_RESOURCE"]
    return tuple(options)


def _works(*options: str) -> bool:
    argv = ("run", "--rm", "--network", "none", *options, "--entrypoint", "/bin/true", HOST)
    return engine.docker(*argv, check=False, timeout=60).code == 0


def options(host: LabHost, key: str) -> list[str]:
    """Return what a host is run with, apart from its network, labels and volumes.

    Args:
        host: the host.
        key: the public key that may log in as `admin`; it goes by an environment variable, nothing is baked in.
    """
    subnets = ",".join(map(str, free.POOLS))
    words = [*rights(), "--hostname", host.name, "--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec"]  # noqa: S108 - in the container
    for name, value in (("LAB_ID", host.identity), ("LAB_KEY", key), ("LAB_SUBNETS", subnets)):
        words += ["--env", f"{name}={value}"]
    for folder in host.mounts:
        words += ["--volume", f"{folder}:{folder}"]
    for inside, outside in host.published.items():
        words += ["--publish", f"127.0.0.1:{outside}:{inside}"]
    return words


def await_boot(host: LabHost) -> list[str]:
    """Wait until a host's systemd has started everything; return its SSH host keys ("type key").

    The keys are read through the engine, never by asking whoever answers on the network.

    Raises:
        SlipwayError: it did not come up in time.
    """
    argv = ("exec", host.container, "sh", "-c", "systemctl is-system-running; cat /etc/ssh/ssh_host_*_key.pub")
    until, pause = time.monotonic() + READY_WITHIN, 0.1
    while True:
        done = engine.docker(*argv, check=False, timeout=30)
        state, *keys = done.out.splitlines() or [""]
        if state in ("running", "degraded") and keys:
            if state == "degraded":
                _tell_failed(host)
            return [" ".join(key.split()[:2]) for key in keys]
        if time.monotonic() > until:
            log = engine.docker("logs", "--tail", "15", host.container, check=False)
            seen = f"systemd says {state or 'nothing'}\n{done.err.strip()}\n{log.out}{log.err}"
            raise SlipwayError(
                "the lab host did not start", where=host.name, seen=seen, todo="inv lab.down, then again"
            )
        time.sleep(pause)
        pause = min(pause * 1.3, 1.0)


def _tell_failed(host: LabHost) -> None:
    listing = ("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    failed = [line.split()[0] for line in engine.docker("exec", host.container, *listing).out.splitlines() if line]
    report.say(f"{host.name}: these units have failed: {', '.join(failed) or 'none any more'}")


def ssh(state: LabState, host: LabHost, *argv: str, check: bool = True) -> process.Completed:
    """Run a command on a host as its admin by SSH, with strict checking of its key."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": state.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    target = ("-p", str(host.port), "-i", state.key_file, f"{host.admin}@{host.address}")
    return process.run(["ssh", "-F", "none", *words, *target, "--", *argv], check=check, timeout=30)


def await_login(state: LabState, host: LabHost) -> None:
    """Wait until `admin` can log in by SSH.

    Raises:
        SlipwayError: not in time; with what ssh said last.
    """
    until = time.monotonic() + READY_WITHIN
    while (done := ssh(state, host, "true", check=False)).code != 0:
        if time.monotonic() > until:
            raise SlipwayError("no login by SSH", where=f"{host.name} ({host.address})", seen=done.tail(3))
        time.sleep(0.2)
