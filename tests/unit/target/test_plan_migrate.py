"""Migrations in plans: what a deploy may run, what contracting waits for, what can't be gone back to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from slipway.agent import schema as files
from slipway.data import migrations
from slipway.errors import BadInput
from slipway.plan.operation import Operation
from slipway.target import schema as shapes
from slipway.target.compose import planner, rollback, schema
from slipway.target.compose.facts import HostFacts
from slipway.target.compose.request import Release, Request
from tests.support import values

SQL = {"kind": "sql", "service": "web", "path": "web/migrations", "database": "store", "lock_timeout": 0.5}
KNOWN, _ = files.read(
    "sql",
    {
        "001_a.sql": "-- slipway: expand\nSELECT 1;",
        "002_b.sql": "-- slipway: contract\nSELECT 2;",
        "003_c.sql": "-- slipway: expand\nSELECT 3;",
    },
)
TEXTS = {m["id"]: m["sql"] for m in KNOWN}


def knowing(*ids: str) -> list[dict[str, str]]:
    return [{"id": i, "kind": "expand", "checksum": "x"} for i in ids]


def request(folder: Path, found: Mapping[str, HostFacts], **migrate: Any) -> Request:
    made = values.request(folder, found)
    settings = type(made.stack.migrate)(**{**SQL, **migrate})  # type: ignore[misc]
    return Request(**{**vars(made), "stack": made.stack.model_copy(update={"migrate": settings})})


def serving(
    folder: Path,
    live: tuple[str, ...] = (),
    warm: tuple[str, ...] | None = None,
    cold: tuple[str, ...] | None = None,
    **facts: Any,
) -> tuple[Request, Release, str]:
    """Return a request for a host that serves v2, which knows the migrations `live`; v1, which knows `warm`, still runs.

    Without `warm` v1 has stopped, and knows `cold` (default: what v2 knows).
    """
    first = values.request(folder, {"app1": values.facts()})
    one, two = values.release(first, "v1"), values.release(first, "v2")
    before = warm if warm is not None else live if cold is None else cold
    old = {**values.recorded(first, one), "schema": knowing(*before), "activated_run": 1}
    found = values.serving(first, two, *([old] if warm is not None else []), **facts)
    known = dict(found.releases)
    known[two.id] = {**known[two.id], "schema": knowing(*live), "activated_run": 2}
    known.setdefault(one.id, old)
    return request(folder, {"app1": HostFacts("app1", {**found.raw, "releases": known})}), two, one.id


def migrates(request_: Request) -> Operation:
    plan = planner.plan_deploy(request_, values.release(request_, "v3"))
    (phase,) = [p for p in plan.phases if p.title == "Migrate"]
    (operation,) = phase.hosts["app1"]
    return operation


def test_a_deploy_runs_what_expands_and_the_first_one_all(tmp_path: Path) -> None:
    first = migrates(request(tmp_path, {"app1": values.facts()}))
    assert (first.kind, first.params["which"]) == ("schema.migrate", "all")
    later = migrates(serving(tmp_path)[0])
    assert later.params["which"] == "expand"
    how = later.params["how"]
    assert (how["tool"], how["service"], how["database"], how["folder"]) == ("sql", "web", "store", "migrations")
    assert (how["lock_timeout"], how["statement_timeout"]) == (0.5, 300.0)
    assert migrations.how(request(tmp_path, {"app1": values.facts()}, inside="/srv/sql").stack)["folder"] == "/srv/sql"


def test_a_tool_of_the_stacks_own_is_run_as_before(tmp_path: Path) -> None:
    assert migrates(values.request(tmp_path, {"app1": values.facts()})).kind == "release.migrate"


def contract(request_: Request, *waits: str) -> Any:
    return schema.plan_contract(request_, [m for m in KNOWN if m["id"] in waits], KNOWN, TEXTS)


def test_contracting_runs_what_the_live_release_brings(tmp_path: Path) -> None:
    request_, two, _ = serving(tmp_path, live=("001_a", "002_b"))
    plan = contract(request_, "002_b")
    assert [p.title for p in plan.phases] == ["Tidy up", "Migrate"]
    (operation,) = plan.phases[-1].hosts["app1"]
    assert (operation.params["release"], operation.params["which"]) == (two.id, "contract")
    assert not any(p.switched for p in plan.phases)
    assert plan.changes[0].text == "002_b.sql (contract)\n-- slipway: contract\nSELECT 2;"


def test_nothing_to_contract(tmp_path: Path) -> None:
    request_, *_ = serving(tmp_path, live=("001_a", "002_b", "003_c"))
    assert contract(request_).phases == ()


def refused(request_: Request, *waits: str) -> str:
    with pytest.raises(BadInput) as caught:
        contract(request_, *waits)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_contracting_waits_for_a_release_that_knows_it(tmp_path: Path) -> None:
    request_, two, _ = serving(tmp_path, live=("001_a",))
    words = refused(request_)  # the tree has it, the live release does not
    assert "002_b would take away what a release needs" in words
    assert f"{two.id} serves" in words
    assert "inv deploy --env here" in words


def test_contracting_waits_for_the_warm_predecessor(tmp_path: Path) -> None:
    request_, _, one = serving(tmp_path, live=("001_a", "002_b"), warm=("001_a",))
    words = refused(request_, "002_b")
    assert f"{one} still runs" in words
    assert "serves" not in words.partition("Still serving")[0]


def test_contracting_waits_for_the_cold_predecessor(tmp_path: Path) -> None:
    """A rollback would go back to it."""
    request_, _, one = serving(tmp_path, live=("001_a", "002_b"), cold=("001_a",))
    words = refused(request_, "002_b")
    assert f"{one} is what a rollback goes back to" in words
    assert "inv deploy --env here once more" in words


def test_a_warm_predecessor_that_knows_it_is_in_nobodys_way(tmp_path: Path) -> None:
    request_, *_ = serving(tmp_path, live=("001_a", "002_b"), warm=("001_a", "002_b"))
    assert contract(request_, "002_b").phases


def test_where_nothing_serves_nothing_is_contracted(tmp_path: Path) -> None:
    assert "nothing is deployed" in refused(request(tmp_path, {"app1": values.facts()}), "002_b")


def test_a_release_of_before_migrations_were_known_needs_every_old_shape(tmp_path: Path) -> None:
    request_, *_ = serving(tmp_path, live=())
    assert schema.releases(request_).needed_by(["002_b"])


@pytest.mark.parametrize("to", [None, "it"])
def test_a_rollback_past_a_contracting_migration(tmp_path: Path, to: str | None) -> None:
    contracted = {"contracted": ["002_b"]}
    request_, two, one = serving(tmp_path, live=("001_a", "002_b"), warm=("001_a",), schema=contracted)
    with pytest.raises(BadInput) as caught:
        rollback.choose(request_, one if to else None)
    assert f"release {one} can't be gone back to" in str(caught.value)
    assert "before 002_b" in str(caught.value)
    assert f"Still serving: release {two.id}" in str(caught.value)
    knows, _, one = serving(tmp_path, live=("001_a", "002_b"), warm=("001_a", "002_b"), schema=contracted)
    assert rollback.choose(knows, one if to else None) == one
    not_yet, _, one = serving(tmp_path, live=("001_a", "002_b"), warm=("001_a",))
    assert rollback.choose(not_yet, one if to else None) == one


def test_what_waits_is_shown_with_its_sql(tmp_path: Path) -> None:
    request_, *_ = serving(tmp_path)
    waits = shapes.pending(request_.stack, KNOWN, {"rows": [], "alembic": None})
    assert [m["id"] for m in waits] == ["001_a", "002_b", "003_c"]
    shown = [c.text for c in shapes.shown(request_.stack, waits, "expand", TEXTS, "here")]
    assert shown[0] == "001_a.sql (expand)\n-- slipway: expand\nSELECT 1;"
    assert shown[1] == "002_b.sql (contract): left for inv migrate --contract --env here"
    assert "SELECT 2" in shapes.shown(request_.stack, waits, "all", TEXTS, "here")[1].text


def test_files_that_do_not_go_with_the_database(tmp_path: Path) -> None:
    request_, *_ = serving(tmp_path)
    row = {"id": "001_a", "kind": "expand", "checksum": "other", "at": "2026-01-01T00:00:00Z", "release": "v1"}
    with pytest.raises(BadInput, match=r"001_a\.sql: was edited") as caught:
        shapes.pending(request_.stack, KNOWN, {"rows": [row], "alembic": None})
    assert caught.value.where == "compose/probe/web/migrations"


def test_alembic_behind_what_contracts(tmp_path: Path) -> None:
    request_ = request(tmp_path, {"app1": values.facts()}, kind="alembic")
    with pytest.raises(BadInput, match=r"003_c\.sql: stands behind one that contracts"):
        shapes.shown(request_.stack, KNOWN[1:], "expand", TEXTS, "here")
