"""What a verb says at its end: for people, for programs, and for a pipeline's page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slipway.plan.outcome import Outcome
from slipway.target.compose import planner
from slipway.watch import outcome
from tests.support import values


def done(verb: str = "deploy", before: str | None = "v1-y", **more: Any) -> Outcome:
    given = {
        "changed": True,
        "steps": [("Switch", 1.5)],
        "images": {"web": "registry.lab:5000/probe/web@sha256:abc"},
        **more,
    }
    return Outcome(verb, "local", "probe", "v2-x", before, url="http://127.0.0.1:8080", **given)


def test_where_it_serves_and_what_next() -> None:
    """The time is the whole command's, not only the plan's steps'."""
    text = outcome.text(done(), 83.0)
    assert text.startswith("probe in local serves release v2-x (before: v1-y), verified, 1 min 23 s\n")
    assert "http://127.0.0.1:8080" in text
    assert text.endswith("  inv status --env local\n  inv rollback --env local")


def test_a_rollback_is_offered_only_where_one_may_be_wanted() -> None:
    assert "inv rollback" not in outcome.text(done(before=None), 1.0), "the first release"
    assert "inv rollback" not in outcome.text(done(before="v2-x"), 1.0), "a release that was mended"
    back = outcome.text(done("rollback"), 1.0)
    assert "inv rollback" not in back
    assert "inv release.list --env local" in back


def test_nothing_to_do() -> None:
    (line,) = outcome.text(done(changed=False, steps=[]), 1.0).splitlines()
    assert line.startswith("nothing to do: probe in local serves release v2-x")
    assert outcome.text(done("migrate", changed=False, steps=[]), 1.0) == "no migration waits in local"


def test_a_migration_does_not_say_that_its_version_serves() -> None:
    text = outcome.text(done("migrate", steps=[]), 2.0)
    assert text.startswith("probe in local: the migrations of v2-x were run; release v1-y serves, 2.0 s\n")


def test_a_plan_is_a_value_without_secrets(tmp_path: Path) -> None:
    draft = values.request(tmp_path, {"app1": values.facts()})
    release = values.release(draft)
    plan = planner.plan_deploy(draft, release)
    planned = Outcome("deploy", "here", "probe", release.id, None, True, "http://x", plan)
    told = json.loads(json.dumps(outcome.document(planned, 1.234)))
    assert told["seconds"] == 1.23
    assert [p["title"] for p in told["plan"]["phases"]] == [p.title for p in plan.phases]
    prepare, *_, verify = told["plan"]["phases"]
    (host,) = prepare["hosts"]
    assert host["name"] == "app1"
    assert f"write release {release.id}" in host["operations"]
    assert (verify["verify"], verify["after_switch"], prepare["after_switch"]) == ("deploy", True, False)
    assert {c["what"] for c in told["plan"]["changes"]} >= {"image", "accessory"}
    assert told["plan"]["undo"][0]["hosts"][0]["operations"] == ["remove the new release"]
    assert values.SECRETS["token"] in json.dumps(plan.phases[0].hosts["app1"][3].params), "the plan itself has it"
    assert values.SECRETS["token"] not in json.dumps(told)


def test_nothing_to_do_is_no_plan(tmp_path: Path) -> None:
    draft = values.request(tmp_path, {"app1": values.facts()})
    plan = planner.plan_deploy(draft, values.release(draft))
    assert outcome.document(done(changed=False, steps=[], plan=plan), 1.0)["plan"] is None


def test_a_pipelines_page_names_the_digests() -> None:
    page = outcome.summary(done(), 83.0)
    assert "serves release v2-x (before: v1-y), verified, 1 min 23 s: <http://127.0.0.1:8080>" in page
    assert "| web | `registry.lab:5000/probe/web@sha256:abc` |" in page
