"""Accessories keep data: a deploy shows that they should change and leaves them alone; `accessory.apply` changes them."""

from __future__ import annotations

import re

from tests.support import stacks
from tests.support.site import Site


def store(probe: Site) -> str:
    return str(probe.containers()["probe-accessories-store-1"]["id"])


def test_a_changed_accessory_waits_until_somebody_says_so(probe: Site) -> None:
    checkout, before = probe.checkout, store(probe)
    checkout.edit("compose/probe/compose.yaml", 'appendonly, "yes"', 'appendonly, "yes", --maxclients, "444"')
    stacks.behave(checkout, "beside another store")
    probe.deploy().ok()
    assert probe.get().json()["label"] == "beside another store"
    assert store(probe) == before, "a deploy never touches it"

    plan = probe.inv("accessory.apply", "--plan").ok()
    assert "store" in plan.out
    assert store(probe) == before

    done = probe.inv("accessory.apply").ok()
    assert re.search(r"away for at most \d+\.\d s", done.out)
    assert store(probe) != before
    name = "probe-accessories-store-1"
    assert probe.on("docker", "exec", name, "redis-cli", "config", "get", "maxclients").split()[-1] == "444"
    assert probe.get("/store").json() == {"pong": "PONG", "schema": "1"}, "it kept its data"
    assert "what the stack file says" in probe.inv("accessory.apply").ok().out


def test_a_release_that_needs_an_accessory_first(probe: Site) -> None:
    """Exit 2 and what to type; then it works."""
    checkout = probe.checkout
    cache = "\n  cache:\n    image: redis:8\n\nvolumes:\n  store:\n"
    checkout.edit("compose/probe/compose.yaml", "\nvolumes:\n  store:\n", cache)
    stacks.behave(checkout, "needs a cache")
    before = probe.settled()
    with probe.visitor() as visitor:
        refused = probe.deploy().exits(2)
        assert "cache" in refused.err
        assert "inv accessory.apply --env lab" in refused.err
        assert probe.footprint() == before
        probe.inv("accessory.apply").ok()
        probe.deploy().ok()
    visitor.happy()
    assert probe.get().json()["label"] == "needs a cache"
