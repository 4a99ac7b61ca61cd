"""Status: from facts to the document and to words; what counts as healthy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.target.compose.facts import HostFacts
from slipway.target.compose.session import Access
from slipway.target.compose.workplace import Workplace
from slipway.watch import outcome, releases, status
from tests.support import values


def document(folder: Path, **changes: Any) -> dict[str, Any]:
    draft = values.request(folder, {"app1": values.facts()})
    found = values.serving(draft, values.release(draft, "v1"))
    found = HostFacts("app1", {**found.raw, **changes})
    env, entry, stack = values.settings(folder)
    place = Workplace(env, entry, stack, Access(None, folder), {})
    problems = status._problems(found)
    return status._document(env.name, stack.name, {"app1": found}, place, problems, place.url)


def test_all_is_well(tmp_path: Path) -> None:
    found = document(tmp_path)
    assert found["healthy"]
    assert set(found) >= {"env", "stack", "healthy", "release", "hosts", "lease", "backup", "url"}
    assert set(found["release"]) == {"id", "version", "images", "activated_at", "by", "verified"}
    told = {s["container"]: s["traffic"] for s in found["hosts"][0]["services"]}
    assert told["probe-accessories-store-1"] is None
    assert {v for k, v in told.items() if "-web-" in k} == {100.0}
    text = status.text(found)
    assert text.startswith("probe in here: healthy\n")
    assert "100 %" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"containers": []},
        {"router": {"answers": False, "shares": {}, "weights": {}, "open": {}, "ports": []}},
    ],
)
def test_not_healthy(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = document(tmp_path, **changes)
    assert not found["healthy"]
    assert found["problems"]
    assert "NOT HEALTHY" in status.text(found)
    assert "  ! app1: " in status.text(found)


def test_leases_and_unfinished_runs_are_shown_not_counted(tmp_path: Path) -> None:
    holder = {"by": "anna@here", "since": "2026-01-01T00:00:00Z", "command": "inv deploy"}
    run = {"verb": "deploy", "by": "ben@there", "at": "2026-01-01T00:00:00Z", "in_hand": "release.up"}
    found = document(tmp_path, lease=holder, unfinished=run, frozen={"by": "eve", "message": "audit"})
    assert found["healthy"]
    text = status.text(found)
    assert "anna@here, since 2026-01-01T00:00:00Z: inv deploy" in text
    assert "deploy by ben@there" in text
    assert "audit" in text


def test_a_host_that_did_not_answer(tmp_path: Path) -> None:
    env, entry, stack = values.settings(tmp_path)
    place = Workplace(env, entry, stack, Access(None, tmp_path), {})
    found = status._document("here", "probe", {}, place, ["app1: the host can't be reached over SSH"], place.url)
    assert not found["healthy"]
    assert found["release"] is None
    assert found["hosts"] == [{"name": "app1", "reachable": False, "services": []}]
    assert "cannot be reached" in status.text(found)


@pytest.mark.parametrize(
    ("stack", "url"),
    [
        ({"name": "probe", "port": 8300}, "http://192.0.2.1:8300"),
        ({"name": "probe", "port": 80, "domain": "www.example.com"}, "http://www.example.com"),
    ],
)
def test_the_url_that_people_open(tmp_path: Path, stack: dict[str, Any], url: str) -> None:
    env, entry, found = values.settings(tmp_path, stacks=[stack])
    assert Workplace(env, entry, found, Access(None, tmp_path), {}).url == url


def test_a_list_of_releases() -> None:
    entries = [
        {
            "at": "2026-01-02T03:04:05.678Z",
            "verb": "deploy",
            "release": "v2-x",
            "state": "live",
            "by": "anna",
            "outcome": "done",
        },
        {"at": "2026-01-01T03:04:05.678Z", "verb": "accessory.apply", "state": "", "by": "ben", "outcome": "done"},
    ]
    lines = releases.text(entries).splitlines()
    assert lines[0].split() == ["at", "verb", "release", "state", "by", "outcome"]
    assert lines[1].split() == ["2026-01-02", "03:04:05", "deploy", "v2-x", "live", "anna", "done"]
    assert lines[2].split() == ["2026-01-01", "03:04:05", "accessory.apply", "ben", "done"]


def test_an_outcome_says_where_and_what_next() -> None:
    from slipway.target.compose.run import Outcome

    done = Outcome("deploy", "local", "probe", "v2-x", "v1-y", True, "http://127.0.0.1:8080", None, [("Switch", 1.5)])
    text = outcome.text(done)
    assert "probe in local serves release v2-x (before: v1-y), verified, 1.5 s" in text
    assert "http://127.0.0.1:8080" in text
    assert "inv rollback --env local" in text
    first = Outcome("deploy", "local", "probe", "v2-x", None, True, "http://127.0.0.1:8080", None, [("Switch", 1.5)])
    assert "inv rollback" not in outcome.text(first)
    nothing = Outcome("deploy", "local", "probe", "v2-x", "v2-x", False, "http://127.0.0.1:8080")
    (line,) = outcome.text(nothing).splitlines()
    assert line.startswith("nothing to do: probe in local serves release v2-x")
