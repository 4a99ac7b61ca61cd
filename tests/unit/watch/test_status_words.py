"""Status: from facts to the document and to words; what counts as healthy."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.settings import load
from slipway.settings.password import FILE_VARIABLE, VARIABLE
from slipway.target.compose import verbs
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.session import Access
from slipway.target.compose.workplace import Workplace
from slipway.watch import releases, status
from tests.support import values


def document(folder: Path, **changes: Any) -> dict[str, Any]:
    draft = values.request(folder, {"app1": values.facts()})
    found = values.serving(draft, values.release(draft, "v1"))
    found = HostFacts("app1", {**found.raw, **changes})
    env, entry, stack = values.settings(folder)
    place = Workplace(env, entry, stack, Access(None, folder), {})
    return status._document(env.name, stack.name, place, {"app1": found}, {}, status._problems(found))


def test_all_is_well(tmp_path: Path) -> None:
    found = document(tmp_path)
    assert found["healthy"]
    assert set(found) >= {"env", "stack", "healthy", "release", "hosts", "lease", "backup", "url"}
    assert set(found["release"]) == {"id", "version", "images", "activated_at", "by", "verified"}
    assert found["release"]["images"] == {
        "web": "sha256:" + "a" * 64,
        "extra": "sha256:" + "b" * 64,
        "tick": "sha256:" + "c" * 64,
    }
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
    holder = {"by": "anna@here", "since": "2026-01-01T00:00:00Z", "command": "inv deploy", "fence": 8}
    run = {"verb": "deploy", "by": "ben@there", "at": "2026-01-01T00:00:00Z", "in_hand": "release.up", "fence": 7}
    found = document(tmp_path, lease=holder, unfinished=run, frozen={"by": "eve", "message": "audit"})
    assert found["healthy"]
    text = status.text(found)
    assert "anna@here, since 2026-01-01T00:00:00Z: inv deploy" in text
    assert "unfinished: deploy by ben@there" in text
    assert "in progress" not in text
    assert "audit" in text


def test_a_run_whose_deployer_lives_is_in_progress(tmp_path: Path) -> None:
    holder = {"by": "anna@here", "since": "2026-01-01T00:00:00Z", "command": "inv deploy", "fence": 8}
    run = {"verb": "deploy", "by": "anna@here", "at": "2026-01-01T00:00:00Z", "in_hand": "release.up", "fence": 8}
    found = document(tmp_path, lease=holder, unfinished=run)
    assert (found["in_progress"], found["unfinished"]) == (run, None)
    assert "  in progress: deploy by anna@here since 2026-01-01T00:00:00Z, at release.up" in status.text(found)
    assert "unfinished" not in status.text(found)
    killed = document(tmp_path, lease=None, unfinished=run)
    assert (killed["in_progress"], killed["unfinished"]) == (None, run)
    del run["in_hand"]  # a cluster's journal has no single operations
    assert (
        "by anna@here since 2026-01-01T00:00:00Z\n"
        in status.text(document(tmp_path, lease=holder, unfinished=run)) + "\n"
    )
    assert "stopped; `inv deploy" in status.text(document(tmp_path, lease=None, unfinished=run))


@pytest.mark.parametrize("missing", ["app1", "app2"])
def test_a_host_that_is_away_hides_no_other(tmp_path: Path, missing: str) -> None:
    there = next(name for name in ("app1", "app2") if name != missing)
    draft = values.request(tmp_path, {"app1": values.facts("app1"), "app2": values.facts("app2")})
    found = values.serving(draft, values.release(draft, "v1"), host=there)
    place = Workplace(draft.env, draft.entry, draft.stack, Access(None, tmp_path), {})
    error = SlipwayError("the host can't be reached over SSH", where="x", seen="Connection\nrefused")
    told = status._document("here", "probe", place, {there: found}, {missing: error}, [])
    assert not told["healthy"]
    assert told["release"]["version"] == "v1"
    hosts = {h["name"]: h for h in told["hosts"]}
    assert list(hosts) == ["app1", "app2"]
    reason = "the host can't be reached over SSH (Connection refused)"
    assert hosts[missing] == {"name": missing, "reachable": False, "reason": reason, "services": []}
    assert hosts[there]["reachable"]
    assert {s["traffic"] for s in hosts[there]["services"] if s["service"] == "web"} == {100.0}
    text = status.text(told)
    assert f"  {missing}  cannot be reached\n" in text
    assert f"  ! {missing} cannot be reached: {reason}" in text
    assert "100 %" in text


def rented(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the checkout one with an environment `here` of two hosts that refuse connections; no vault, no password."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    values.settings(folder)
    path = folder / "envs/here.yml"
    hosts = [{"name": f"app{n}", "address": f"127.0.0.{n}", "port": port} for n in (1, 2)]
    path.write_text(json.dumps({**json.loads(path.read_text()), "hosts": hosts}))
    for name in (VARIABLE, FILE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(load, "root", lambda: folder)


def test_status_without_the_vaults_password_and_without_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rented(tmp_path, monkeypatch)
    found = status.status("here", None)
    assert [(h["name"], h["reachable"]) for h in found["hosts"]] == [("app1", False), ("app2", False)]
    assert "reached over SSH" in found["hosts"][1]["reason"]
    assert not found["healthy"]
    assert found["release"] is None


@pytest.mark.parametrize(
    "verb",
    [
        lambda: verbs.lock_show("here", None), lambda: verbs.lock_freeze("here", None, None),
        lambda: verbs.lock_freeze("here", None, "why"), lambda: releases.entries("here", None),
        lambda: verbs.verify("here", None, None),
    ],
    ids=["lock.show", "lock.release", "lock.acquire", "release.list", "verify"],
)  # fmt: skip
def test_other_verbs_need_no_password_either(
    verb: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They get as far as the host, which is not there."""
    rented(tmp_path, monkeypatch)
    with pytest.raises(SlipwayError, match="reached over SSH"):
        verb()


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
    common = {"at": "2026-01-02T03:04:05.678Z", "by": "anna"}
    entries = [
        {**common, "verb": "deploy", "release": "v2-x", "state": "live", "outcome": "done"},
        {**common, "verb": "accessory.apply", "state": "", "outcome": f"failed: {'x' * 100}\nend"},
        {**common, "verb": "rollback", "release": "v2-x", "state": "live", "outcome": "done"},
    ]
    lines = releases.text(entries).splitlines()
    assert lines[0].split() == ["at", "verb", "release", "state", "by", "outcome"]
    assert lines[1].split() == ["2026-01-02", "03:04:05", "deploy", "v2-x", "live", "anna", "done"]
    assert lines[2].split()[:4] == ["2026-01-02", "03:04:05", "accessory.apply", "anna"]
    assert lines[2].endswith(f"failed: {'x' * 100} end"), "nothing is cut"
    assert lines[3].split() == ["2026-01-02", "03:04:05", "rollback", "v2-x", "anna", "done"], "told once, above"


def test_where_the_releases_of_the_ledger_are_now(tmp_path: Path) -> None:
    """A release is warm only where it runs; an entry of a run that was ended at once has no outcome of its own."""
    draft = values.request(tmp_path, {"app1": values.facts()})
    made = {name: values.recorded(draft, values.release(draft, name)) for name in ("v1", "v2", "v3")}
    left = {**made["v2"], "deactivated_at": "2026-02-01T00:00:00Z"}
    ids = {name: meta["id"] for name, meta in made.items()}
    ledger = [{"verb": "deploy", "release": i, "outcome": "done"} for i in (*ids.values(), "v0-gone")]
    live = values.release(draft, "v3")

    def states(facts: HostFacts) -> dict[str, str]:
        return {e["release"]: e["state"] for e in releases.told({"app1": facts})}

    running = values.serving(draft, live, left, ledger=ledger)
    stopped = [c if c["release"] != ids["v2"] else {**c, "state": "exited"} for c in running.raw["containers"]]
    assert states(running) == {"v0-gone": "gone", ids["v3"]: "live", ids["v2"]: "warm", ids["v1"]: "gone"}
    assert states(values.serving(draft, live, left, ledger=ledger, containers=stopped))[ids["v2"]] == "kept"
    killed = values.serving(draft, live, ledger=[{"verb": "deploy", "release": ids["v1"], "at": "2026"}])
    (entry,) = releases.told({"app1": killed})
    assert entry["outcome"] == "interrupted"
    assert releases.text([entry]).splitlines()[1].split() == ["2026", "deploy", ids["v1"], "gone", "interrupted"]


@pytest.mark.parametrize(
    ("free", "hours", "removed", "words"),
    [
        (
            5e9,
            1,
            [{"what": "the kept log a.gz", "bytes": 2e6}],
            "1 things removed, 2 MB: the kept log a.gz; 5000 MB free now",
        ),
        (5e9, 30, [{"what": "the kept log a.gz", "bytes": 2e6}], ""),
        (1e8, 30, [], "nothing to free; 100 MB free now, TOO LITTLE"),
    ],
)
def test_a_disk_that_was_nearly_full(free: float, hours: int, removed: list[dict[str, Any]], words: str) -> None:
    at = datetime.now(UTC) - timedelta(hours=hours)
    note = {"at": f"{at:%Y-%m-%dT%H:%M:%S}.000Z", "least": 1e9, "before": 5e7, "after": free, "removed": removed}
    told = status.disk_words({"free": free, "freed": note})
    assert ("\n".join(told).endswith(words) and "disk nearly full" in told[0]) if words else told == []
    assert status.disk_words({"free": free, "freed": None}) == []
