"""OpenSSH as Slipway uses it: strict host keys from the environment's own file, one connection for many commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from slipway.errors import BadInput, SlipwayError
from slipway.process import run
from slipway.settings.model import Host

_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
_HOST_KEY = (_CHANGED, "Host key verification failed", "host key is known for", "mismatching host key")


def options(key_file: Path | None, known_hosts: Path) -> dict[str, str]:
    """Return the OpenSSH options of every connection to an environment's hosts.

    Args:
        key_file: private key to log in with; None leaves the choice to the agent and the user's default keys.
        known_hosts: the only file whose host keys count.
    """
    chosen = {
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "ConnectTimeout": "10",
    }
    if key_file is not None:
        chosen |= {"IdentityFile": f'"{key_file}"', "IdentitiesOnly": "yes"}
    return chosen


def arguments(key_file: Path | None, known_hosts: Path) -> str:
    """Return `options` as words of a command line (for Ansible, which splits them again)."""
    return shlex.join(
        word for key, value in options(key_file, known_hosts).items() for word in ("-o", f"{key}={value}")
    )


def config(hosts: Iterable[Host], *, admin: bool, key_file: Path | None, known_hosts: Path, control_dir: Path) -> str:
    """Return an ssh_config in which each host goes by its Slipway name and all commands to it share one connection.

    Args:
        hosts: the hosts.
        admin: log in as the host's `admin` instead of its deploying `user`.
        key_file: see `options`.
        known_hosts: see `options`.
        control_dir: folder of the connections' sockets; short, since a socket's path has at most 108 bytes.
    """
    parts = []
    for host in hosts:
        lines = [f"Host {host.name}", f"HostName {host.address}", f"Port {host.port}"]
        lines.append(f"User {host.admin if admin else host.user}")
        parts.append("\n    ".join(lines))
    shared = options(key_file, known_hosts) | {
        "ControlMaster": "auto",
        "ControlPath": f'"{control_dir}/%n"',
        "ControlPersist": "60",
    }
    parts.append("\n    ".join(["Host *", *(f"{key} {value}" for key, value in shared.items())]))
    if key_file is None:
        # The first value wins: what a person's own file adds (identities, jump hosts) cannot weaken what is above.
        parts.append("Include ~/.ssh/config")
    return "\n".join(parts) + "\n"


def failure(host: Host, user: str, known_hosts: Path, seen: str) -> SlipwayError:
    """Return the error that says why `host` could not be reached.

    Args:
        host: the host.
        user: who tried to log in.
        known_hosts: the environment's file of host keys.
        seen: what ssh, or a program that ran it, said.
    """
    where = f"{host.name} ({host.address}:{host.port})"
    if not any(words in seen for words in _HOST_KEY):
        todo = f"try `ssh -p {host.port} {user}@{host.address}`, then the same command again"
        return SlipwayError("the host cannot be reached over SSH", where=where, seen=_brief(seen), todo=todo)
    name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    if _CHANGED in seen or _knows(name, known_hosts):
        return BadInput(
            "the host's key is not the one that is known: another machine answers, or the host was installed anew",
            where=where,
            todo=f"find out which; if the host is new, `ssh-keygen -R {name} -f {known_hosts}`, then add its new key",
        )
    return BadInput(
        f"the host's key is not in {known_hosts}",
        where=where,
        todo=f"compare `ssh-keyscan -p {host.port} {host.address}` with your provider's fingerprint, then append "
        f"its line to {known_hosts}",
    )


def _knows(name: str, known_hosts: Path) -> bool:
    return known_hosts.exists() and run(["ssh-keygen", "-F", name, "-f", known_hosts], check=False).code == 0


def _brief(seen: str) -> str:
    """Return the line that matters of what ssh said: the last one that is not decoration."""
    lines = [line.strip() for line in seen.splitlines() if line.strip() and not line.startswith(("@", "Warning:"))]
    return lines[-1].rpartition("via ssh: ")[2] if lines else "no answer"
