"""Names, ports, subnets and owners: what keeps labs apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from slipway.errors import BadInput, SlipwayError
from slipway.lab import free, names, owner, planned
from slipway.lab.state import LabHost


def test_each_checkout_has_labs_of_its_own() -> None:
    one, other = (names.lab_id("local", Path(path)) for path in ("/a", "/b"))
    assert one != other
    assert one.endswith("-local")
    assert len(one) == len("local") + 7


@pytest.mark.parametrize("name", ["", "Local", "a_b", "1a", "a" * 32, "../x", "a b"])
def test_a_name_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no name for a lab"):
        names.lab_id(name)


def test_a_low_port_is_published_from_8000_more_on() -> None:
    assert free.port(80) >= 8080
    assert free.port(443) >= 8443


def test_a_taken_port_is_evaded() -> None:
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", 0))
        mine.listen()
        taken = mine.getsockname()[1]
        got = free.port(taken)
        assert got > taken
        assert free.port(taken, taken={got}) > got


def test_no_free_port_says_where_it_looked() -> None:
    with pytest.raises(SlipwayError, match="20000 to 20199"):
        free.port(20000, taken=range(20000, 20200))


def test_a_taken_subnet_is_evaded() -> None:
    wanted = list(free.candidates("seed"))
    assert len(set(wanted)) == len(wanted)
    assert free.first_free(wanted, []) == wanted[0]
    assert free.first_free(wanted, [wanted[0]]) == wanted[1]
    # A VPN that routes all of 10/8: the next pool.
    got = free.first_free(wanted, [ip_network("10.0.0.0/8")])
    assert got.subnet_of(free.POOLS[1])
    with pytest.raises(SlipwayError, match="no subnet is free"):
        free.first_free(wanted, [ip_network("0.0.0.0/1"), ip_network("128.0.0.0/1")])


def test_the_search_begins_elsewhere_for_each_lab() -> None:
    assert next(free.candidates("a")) != next(free.candidates("b"))


def test_routes_are_read_as_the_kernel_writes_them() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert free.routes(table) == [ip_network("172.17.0.0/16")]


def test_another_port_in_place_of_a_taken_one() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        host = planned.other_port(LabHost("app1", "c", "10.231.0.11", published={80: taken}), set())
        assert host.published[80] > taken


def test_an_owner_is_a_process_not_a_number() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    whose = owner.of_process(process.pid)
    assert owner.lives(whose)
    assert not owner.lives(f"{process.pid}:1"), "the same number, started at another time"
    process.kill()
    process.wait()
    assert not owner.lives(whose)
    assert owner.lives(""), "a lab of nobody stays"
    assert owner.lives(owner.of_process(os.getpid()))
