"""What Ansible is told: pure functions from an environment to variables, an inventory, a digest."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.settings import backups, logs
from slipway.settings.model import Environment, Host, Registry, Stack

ANSIBLE = Path(__file__).parents[2] / "ansible"
_NOT_CONTENT = {"__pycache__", ".ansible"}


def internal_ports(stacks: Iterable[Stack]) -> tuple[int, ...]:
    """Return the ports that accessories `expose`: open to the environment's own hosts only."""
    ports: set[int] = set()
    for stack in stacks:
        for service in stack.of_role("accessory"):
            ports |= {int(str(port).split("/")[0]) for port in service.compose.get("expose", [])}
    return tuple(sorted(ports))


@dataclass(frozen=True)
class Needs:
    """What an environment's stacks need of its hosts.

    Args:
        ports: ports open between the hosts, see `internal_ports`.
        log_files: files that the hosts rotate, see `log_files`.
    """

    ports: tuple[int, ...] = ()
    log_files: tuple[dict[str, Any], ...] = ()


NOTHING = Needs()


def needs(stacks: Sequence[Stack]) -> Needs:
    """Return what stacks need of their hosts."""
    return Needs(internal_ports(stacks), tuple(log_files(stacks)))


def log_files(stacks: Iterable[Stack]) -> Iterator[dict[str, Any]]:
    """Yield the files that services write into volumes, as the role `logs` rotates them."""
    for stack in stacks:
        for service in stack.services:
            user, _, group = str(service.compose.get("user", "")).partition(":")
            for file in service.logs:
                found = logs.volume_of(file.path, backups.mounted(service.compose))
                volume, path = found or ("", "")
                yield {
                    "stack": stack.name,
                    "service": service.name,
                    "volume": f"slipway-{stack.name}-{volume}",
                    "path": path,
                    "user": int(user),
                    "group": int(group or user),
                    "reopen": file.reopen,
                    "size": logs.size_in_bytes(file.size),
                    "keep": file.keep,
                    "days": max(1, round(file.max_age / 86400)),
                }


def variables(env: Environment, needed: Needs = NOTHING) -> dict[str, Any]:
    """Return the variables that hold for all hosts of `env` (`provision` in the facts for verification).

    Args:
        env: the environment, with its hosts and registry.
        needed: what its stacks need.
    """
    registry = env.registry
    return {
        "front_ports": sorted({entry.port for entry in env.stacks}),
        "internal_ports": sorted(set(needed.ports)),
        "log_size": env.logs.size,
        "log_files": env.logs.files,
        "rotated_files": list(needed.log_files),
        "registry_mirrors": [_url(registry)] if registry and registry.mirror else [],
        "insecure_registries": [_server(registry)] if registry and registry.insecure else [],
        "deploy_keys": list(env.deploy_keys),
        "deploy_keys_of_admin": not env.deploy_keys,
        "backup_schedule": env.backup.schedule if env.backup else "",
        "drill_schedule": env.backup.drill if env.backup else "",
    }


def host_variables(env: Environment, host: Host) -> dict[str, Any]:
    """Return the variables of one host."""
    peers = sorted(h.private_address or h.address for h in env.hosts if h.name != host.name)
    return {"deploy_user": host.user, "admin_user": host.admin, "peers": peers}


def inventory(env: Environment, needed: Needs, *, key_file: Path | None, ssh_config: Path) -> dict[str, Any]:
    """Return the inventory as Ansible's YAML plugin reads it (JSON is YAML).

    Args:
        env: the environment, with its hosts and registry.
        needed: what its stacks need.
        key_file: private key to log in with; its public half may deploy, too. None: the agent's.
        ssh_config: the file that every connection goes by, see `slipway.host.ssh.config`.
    """
    shared = variables(env, needed) | {
        "ansible_ssh_common_args": shlex.join(["-F", str(ssh_config)]),
        "provision_digest": digest(env, needed),
    }
    public = key_file.with_name(f"{key_file.name}.pub") if key_file else None
    if public and public.exists():
        shared["deploy_keys"] = [*shared["deploy_keys"], public.read_text().strip()]
    hosts = {
        host.name: {
            "ansible_host": host.address,
            "ansible_port": host.port,
            "ansible_user": host.admin,
            **host_variables(env, host),
        }
        for host in env.hosts
    }
    return {"all": {"hosts": hosts, "vars": shared}}


def digest(env: Environment, needed: Needs = NOTHING, tree: Path = ANSIBLE) -> str:
    """Return a digest of the playbook and of what it is told about `env`.

    A host whose /var/lib/slipway/provisioned.json carries the same one was provisioned with this very playbook and
    these settings. What a person changed on the host since is not seen: the next `inv provision` finds that.
    """
    hosts = {host.name: host_variables(env, host) for host in env.hosts}
    told = json.dumps([variables(env, needed), hosts], sort_keys=True)
    total = hashlib.sha256(told.encode())
    for path in sorted(p for p in tree.rglob("*") if p.is_file() and not _NOT_CONTENT & set(p.relative_to(tree).parts)):
        total.update(f"\0{path.relative_to(tree)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _server(registry: Registry) -> str:
    return registry.seen_by_hosts.split("/")[0]


def _url(registry: Registry) -> str:
    return f"{'http' if registry.insecure else 'https'}://{_server(registry)}"
