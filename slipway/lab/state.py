"""What a lab is, as a value: kept in `.slipway/lab/<name>/lab.json`, so that every command finds it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slipway.lab import places


@dataclass(frozen=True)
class LabRegistry:
    """The lab's registry, with the keys of the setting `registry`."""

    push: str
    pull: str = "registry.lab:5000"
    insecure: bool = True
    mirror: bool = True


@dataclass(frozen=True)
class LabHost:
    """A lab host: name, container, address on the lab's network, and the ports published on 127.0.0.1."""

    name: str
    container: str
    address: str
    port: int = 22
    admin: str = "admin"
    user: str = "deploy"
    kind: str = "bare"
    """What it was started from: "bare", or "provisioned" (a frozen copy of a provisioned host)."""
    published: dict[int, int] = field(default_factory=dict)
    """Port on the host -> port on this machine's 127.0.0.1."""
    mounts: tuple[str, ...] = ()
    """Folders of this machine, mounted at the same path."""
    disk_mb: int = 0
    """Size of the disk for images and volumes, in MB; 0: no limit."""
    identity: str = ""
    """Changes when this is to be another host: then it makes itself new host keys and ids."""


@dataclass(frozen=True)
class LabState:
    """A lab that is up: where everything is, and with which keys it is reached."""

    name: str
    network: str
    subnet: str
    registry: LabRegistry
    hosts: tuple[LabHost, ...]
    key_file: str
    """Private key that admin (and later the deploy user) accept."""
    known_hosts: str
    """The hosts' keys, for strict checking."""
    owner: str = ""
    """Process that the lab belongs to ("pid:start time"); with it the lab goes. Empty: stays until `down`."""

    def host(self, name: str) -> LabHost:
        """Return the host called `name`. Raise KeyError if there is none."""
        return {host.name: host for host in self.hosts}[name]


def folder(name: str) -> Path:
    """Return the folder that keeps lab `name`'s state (it may be missing)."""
    return places.home() / "lab" / name


def save(state: LabState) -> None:
    """Write the state, readable by its owner only."""
    places.write(folder(state.name) / "lab.json", json.dumps(asdict(state), indent=2) + "\n")


def load(name: str) -> LabState | None:
    """Return the state of lab `name` as last saved, or None."""
    value = places.read_json(folder(name) / "lab.json")
    try:
        return _from_json(value) if value else None
    except (TypeError, KeyError, AttributeError, ValueError):  # written by another version: as if it were lost
        return None


def _from_json(value: dict[str, Any]) -> LabState:
    hosts = tuple(
        LabHost(
            **{
                **host,
                "published": {int(k): int(v) for k, v in host["published"].items()},
                "mounts": tuple(host["mounts"]),
            }
        )
        for host in value["hosts"]
    )
    return LabState(**{**value, "hosts": hosts, "registry": LabRegistry(**value["registry"])})
