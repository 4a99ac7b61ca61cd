"""What a lab shall be, decided and saved before anything is made: so a killed `up` can go on, and `down` knows."""

from __future__ import annotations

import secrets
from dataclasses import replace
from ipaddress import ip_network

from slipway.lab import free, names, places, state
from slipway.lab.state import LabHost, LabRegistry, LabState

REGISTRY_PORT = 5000


def plan(
    have: LabState | None,
    lab: str,
    *,
    hosts: int,
    kind: str,
    ports: tuple[int, ...],
    mounts: tuple[str, ...],
    disk_mb: int,
    owner: str,
) -> LabState:
    """Return the lab that is wanted: what there is already stays as it is, what is new gets free ports and addresses.

    Published ports and mounts are only ever added: another caller may need those that are there.
    """
    wanted = have or _new(lab, owner)
    taken = _promised(lab) | {int(wanted.registry.push.rpartition(":")[2])}
    kept = {host.name: host for host in wanted.hosts[:hosts]}
    result = []
    for index in range(1, hosts + 1):
        name = f"app{index}"
        host = kept.get(name) or _host(wanted, name, index, kind, disk_mb)
        taken |= set(host.published.values())
        published = dict(host.published)
        for port in ports:
            if port not in published:
                published[port] = free.port(port, taken)
                taken.add(published[port])
        result.append(replace(host, published=published, mounts=tuple(dict.fromkeys((*host.mounts, *mounts)))))
    return replace(wanted, hosts=tuple(result), owner=owner or wanted.owner)


def other_port(host: LabHost, taken: set[int]) -> LabHost:
    """Return the host with other free ports in place of those that somebody took."""
    published: dict[int, int] = {}
    for inside, outside in host.published.items():
        published[inside] = free.port(outside, taken | set(published.values()))
    return replace(host, published=published)


def moved(lab: LabState) -> LabState:
    """Return the lab in a subnet that is free now."""
    subnet = free.subnet(names.lab_id(lab.name))
    hosts = tuple(replace(host, address=_address(str(subnet), index)) for index, host in enumerate(lab.hosts, 1))
    return replace(lab, subnet=str(subnet), hosts=hosts)


def _new(lab: str, owner: str) -> LabState:
    folder = state.folder(lab)
    return LabState(
        name=lab,
        network=names.part(lab, "net"),
        subnet=str(free.subnet(names.lab_id(lab))),
        registry=LabRegistry(push=f"127.0.0.1:{free.port(REGISTRY_PORT, _promised(lab))}"),
        hosts=(),
        key_file=str(folder / "key"),
        known_hosts=str(folder / "known_hosts"),
        owner=owner,
    )


def _host(lab: LabState, name: str, index: int, kind: str, disk_mb: int) -> LabHost:
    return LabHost(
        name=name,
        container=names.part(lab.name, name),
        address=_address(lab.subnet, index),
        kind=kind,
        disk_mb=disk_mb,
        identity=secrets.token_hex(8),
    )


def _address(subnet: str, index: int) -> str:
    return str(ip_network(subnet)[10 + index])


def _promised(lab: str) -> set[int]:
    """Return the ports that this checkout's other labs have been promised, stopped ones included."""
    others = (state.load(path.name) for path in (places.home() / "lab").glob("*") if path.name != lab)
    ports: set[int] = set()
    for other in others:
        if other:
            ports.add(int(other.registry.push.rpartition(":")[2]))
            ports.update(port for host in other.hosts for port in host.published.values())
    return ports
