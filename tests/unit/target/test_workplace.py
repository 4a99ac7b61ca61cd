"""Where a verb works: what a lab's host is provisioned with is known before there is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.host.inventory import digest, needs
from slipway.lab.state import LabHost
from slipway.settings import load
from slipway.target.compose import workplace
from tests.support import stacks, values
from tests.support.checkout import Checkout


def test_hosts_of_labs_with_one_host_are_provisioned_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a lab's addresses and ports, so that one host may start as a copy of another; with two, each knows the other's."""
    monkeypatch.setattr(load, "root", lambda: tmp_path)
    checkout = Checkout(tmp_path)
    stacks.add_probe(checkout)
    stacks.environment(checkout, "one", "[{name: probe, port: 8300}]")
    stacks.environment(checkout, "another", "[{name: probe, port: 8301}]")
    stacks.environment(checkout, "two", "[{name: probe, port: 8300}]", hosts=2)
    env, _, stack = load.load("one", "probe")
    app1 = LabHost("app1", "container", "192.0.2.11", published={8300: 8317})
    lab = replace(values.LAB, hosts=(app1,))
    found = digest(workplace._with_lab(env, lab), needs([stack]))
    assert workplace._settings_in_lab(env) == found
    assert workplace._settings_in_lab(load.load("another", "probe")[0]) not in ("", found), "another door"
    assert workplace._settings_in_lab(load.load("two", "probe")[0]) == ""
