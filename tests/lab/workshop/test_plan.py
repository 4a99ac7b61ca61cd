"""`--plan`: all that a deploy would change, and nothing changed by looking."""

from __future__ import annotations

import json
import urllib.request

from tests.support import stacks
from tests.support.site import Site

_FILES = "find /var/lib/slipway/stacks /var/lib/slipway/proxy -type f -printf '%p %T@ %s\\n' | sort"


def tags(site: Site, service: str) -> list[str]:
    push = site.checkout.lab(site.env)["registry"]["push"]
    with urllib.request.urlopen(f"http://{push}/v2/{site.stack}/{service}/tags/list") as answer:
        return sorted(json.load(answer)["tags"])


def test_a_plan_shows_everything_and_changes_nothing(probe: Site) -> None:
    checkout = probe.checkout
    stacks.behave(checkout, "planned")
    checkout.write("compose/probe/web/migrations/002_more.sql", "more\n")
    checkout.edit("compose/probe/compose.yaml", "${GREETING:-hello}", "${GREETING:-good evening}")
    checkout.edit("compose/probe/compose.yaml", 'appendonly, "yes"', 'appendonly, "yes", --maxclients, "500"')
    stacks.plant(checkout, probe.env, probe.stack, token="a-planned-token-0815")

    probe.on("systemctl", "stop", "slipway-reap.timer")  # its minute may come in between, and it writes
    try:
        before, files, known = probe.settled(), probe.on("sh", "-c", _FILES), tags(probe, "web")
        plan = probe.deploy("--plan").ok()
        assert (probe.footprint(), probe.on("sh", "-c", _FILES), tags(probe, "web")) == (before, files, known)
    finally:
        probe.on("systemctl", "start", "slipway-reap.timer")

    live = probe.live()
    assert f"Plan: deploy probe to lab: {live} → " in plan.out
    for service in ("web", "extra", "tick"):
        assert f"image: {service}: " in plan.out
    assert "@" in plan.out.partition("image: web: ")[2].split(" → ")[0], "the live image by its digest"
    assert "-      GREETING: hello" in plan.out
    assert "+      GREETING: good evening" in plan.out
    assert "secret: token: another value" in plan.out
    assert "a-planned-token-0815" not in plan.text
    assert "accessories on app1: changed, and left alone: inv accessory.apply" in plan.out
    assert "002_more" in plan.out, "the migrations that wait"
    for step in ("Prepare hosts", "Migrate", "Start and wait for health (phase 1)", "Switch (phase 1)", "Smoke tests"):
        assert step in plan.out


def test_a_plan_of_nothing(probe: Site) -> None:
    """Where the tree is what serves, the plan says that nothing is to be done."""
    probe.deploy().ok()
    before = probe.settled()
    plan = probe.deploy("--plan").ok()
    assert plan.out.startswith("nothing to do:")
    assert probe.footprint() == before


def test_a_plan_as_a_document(probe: Site) -> None:
    stacks.behave(probe.checkout, "planned for a program")
    stacks.plant(probe.checkout, probe.env, probe.stack, token="a-planned-token-0816")
    planned = probe.deploy("--plan", "--format", "json").ok()
    plan = planned.json()["plan"]
    assert {"image", "secret"} <= {c["what"] for c in plan["changes"]}
    titles = [p["title"] for p in plan["phases"]]
    assert titles[:2] == ["Prepare hosts", "Migrate"]
    (host,) = plan["phases"][0]["hosts"]
    assert host["name"] == "app1"
    assert f"write release {planned.json()['release']}" in host["operations"]
    assert "a-planned-token-0816" not in planned.text


def test_json_is_one_document(probe: Site) -> None:
    """With `--format json` standard output is one document; progress goes to standard error."""
    stacks.behave(probe.checkout, "json")
    done = probe.deploy("--format", "json").ok()
    document = done.json()
    assert set(document) >= {"verb", "env", "stack", "release", "before", "changed", "url", "steps"}
    assert (document["verb"], document["env"], document["stack"], document["changed"]) == (
        "deploy",
        "lab",
        "probe",
        True,
    )
    assert document["release"] == probe.live() != document["before"]
    assert "✓ Switch (phase 1)" in done.err
    again = probe.deploy("--format", "json").ok().json()
    assert (again["changed"], again["release"]) == (False, document["release"])
    listed = probe.inv("release.list", "--format", "json").ok().json()
    assert listed[0]["release"] == document["release"]
    assert (listed[0]["state"], listed[0]["outcome"], listed[0]["verb"]) == ("live", "done", "deploy")
