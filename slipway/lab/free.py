"""What is free on this machine: ports for front doors, subnets for labs."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Network, ip_network
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.lab import engine

POOLS = tuple(ip_network(pool) for pool in ("10.231.0.0/16", "172.29.0.0/16", "192.168.192.0/18"))
"""Where lab networks (a /24 each) are taken from, in this order."""


def port(wanted: int, taken: Collection[int] = ()) -> int:
    """Return a port of 127.0.0.1 that nobody listens on: `wanted`, or the nearest one above it.

    Args:
        wanted: the port on the host; one below 1024 is looked for from 8000 more on (80: 8080, 443: 8443).
        taken: ports that are promised to others.

    Raises:
        SlipwayError: none of the next 200 is free.
    """
    first = wanted if wanted >= 1024 else 8000 + wanted
    for candidate in range(first, min(first + 200, 65536)):
        if candidate not in taken and _listens_nobody(candidate):
            return candidate
    raise SlipwayError(f"no port from {first} to {first + 199} is free on 127.0.0.1")


def _listens_nobody(candidate: int) -> bool:
    for address in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 - asks whether it could, and lets go
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, candidate))
            except OSError:
                return False
    return True


def subnet(seed: str) -> IPv4Network:
    """Return a /24 that no Docker network and no route of this machine overlaps.

    Args:
        seed: the lab's id; it decides where the search begins, so that labs seldom look at the same one.

    Raises:
        SlipwayError: all are taken.
    """
    return first_free(candidates(seed), [*_networks(), *routes(Path("/proc/net/route").read_text())])


def candidates(seed: str) -> Iterator[IPv4Network]:
    """Yield all subnets for labs, beginning at a place in each pool that `seed` decides."""
    start = int(hashlib.sha256(seed.encode()).hexdigest()[:6], 16)
    for pool in POOLS:
        subnets = list(pool.subnets(new_prefix=24))
        for index in range(len(subnets)):
            found = subnets[(start + index) % len(subnets)]
            assert isinstance(found, IPv4Network)  # noqa: S101 - for the type checker: the pools are IPv4
            yield found


def first_free(wanted: Iterable[IPv4Network], taken: Collection[IPv4Network]) -> IPv4Network:
    """Return the first of `wanted` that overlaps none of `taken`. Raise SlipwayError if there is none."""
    for candidate in wanted:
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise SlipwayError(
        "no subnet is free for the lab's network",
        seen=f"all of {', '.join(map(str, POOLS))} is used by Docker networks or routes of this machine",
        todo="docker network prune",
    )


def _networks() -> list[IPv4Network]:
    ids = engine.docker("network", "ls", "--quiet", "--filter", "driver=bridge").out.split()
    found = engine.docker("network", "inspect", "--format", "{{json .IPAM.Config}}", *ids, check=False).out
    values = [json.loads(line) or [] for line in found.splitlines() if line.strip()]
    subnets = [ip_network(config["Subnet"], strict=False) for value in values for config in value if "Subnet" in config]
    return [net for net in subnets if isinstance(net, IPv4Network)]


def routes(table: str) -> list[IPv4Network]:
    """Return the destinations in the kernel's route table (the text of /proc/net/route), but the default route."""
    found = []
    for line in table.splitlines()[1:]:
        words = line.split()
        destination, mask = (socket.inet_ntoa(struct.pack("=L", int(words[i], 16))) for i in (1, 7))
        if mask != "0.0.0.0":  # noqa: S104 - the default route's mask
            found.append(IPv4Network(f"{destination}/{mask}", strict=False))
    return found
