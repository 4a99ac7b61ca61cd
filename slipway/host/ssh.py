"""OpenSSH as Ansible and Testinfra use it: strict host keys from the environment's own file, for jump hosts too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from slipway.errors import BadInput, SlipwayError
from slipway.process import run
from slipway.settings.model import Host

_CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
_NAMED = re.compile(r"(?:host key is known for|Host key for) (\S+) (?:and you|has changed)")
"""Whose key it is about: the host's, or that of a jump host."""
_HOST_KEY = (_CHANGED, "Host key verification failed", "host key is known for", "mismatching host key")


def config(hosts: Iterable[Host], *, key_file: Path | None, known_hosts: Path, control_dir: Path | None = None) -> str:
    """Return an ssh_config for every connection to an environment's hosts, also to the jump hosts on the way there.

    It has to be a file: to a jump host (ProxyJump) ssh hands on its `-F`, but none of its `-o`. What a person's own
    configuration says of a host's address (identities, jump hosts) comes last: the first value wins, so it cannot weaken
    what is here.

    Args:
        hosts: the hosts.
        key_file: private key to log in with; None leaves the choice to the agent and the user's default keys.
        known_hosts: the only file whose host keys count.
        control_dir: folder of sockets, by which all commands to a host share one connection; short, since a socket's
            path has at most 108 bytes. None: a connection each.
    """
    strict = {
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "KnownHostsCommand": "none",
        "VerifyHostKeyDNS": "no",
        "NoHostAuthenticationForLocalhost": "no",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "ConnectTimeout": "10",
    }
    if key_file is not None:
        strict |= {"IdentityFile": f'"{key_file}"', "IdentitiesOnly": "yes"}
    blocks = [("Host *", strict)]
    if control_dir:
        shared = {"ControlMaster": "auto", "ControlPath": f'"{control_dir}/%C"', "ControlPersist": "60"}
        blocks.append(("Host " + " ".join(dict.fromkeys(host.address for host in hosts)), shared))
    parts = ["\n    ".join([head, *(f"{key} {value}" for key, value in block.items())]) for head, block in blocks]
    if key_file is None:
        parts.append(f'Match all\n    Include "{Path.home()}/.ssh/config"\n    Include /etc/ssh/ssh_config')
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
    name, scan = host.address if host.port == 22 else f"[{host.address}]:{host.port}", f"-p {host.port} {host.address}"
    told = _NAMED.search(seen)
    if told and told[1] != name:
        name = scan = told[1]
        where = f"{name}, on the way to {where}"
    if _CHANGED in seen or _knows(name, known_hosts):
        return BadInput(
            "the host's key is not the one that is known: another machine answers, or the host was installed anew",
            where=where,
            todo=f"find out which; if the host is new, `ssh-keygen -R {name} -f {known_hosts}`, then add its new key",
        )
    return BadInput(
        f"the host's key is not in {known_hosts}",
        where=where,
        todo=f"compare `ssh-keyscan {scan}` with your provider's fingerprint, then append its line to {known_hosts}",
    )


def _knows(name: str, known_hosts: Path) -> bool:
    return known_hosts.exists() and run(["ssh-keygen", "-F", name, "-f", known_hosts], check=False).code == 0


def _brief(seen: str) -> str:
    """Return the line that matters of what ssh said: the last one that is not decoration."""
    lines = [line.strip() for line in seen.splitlines() if line.strip() and not line.startswith(("@", "Warning:"))]
    return lines[-1].rpartition("via ssh: ")[2] if lines else "no answer"
