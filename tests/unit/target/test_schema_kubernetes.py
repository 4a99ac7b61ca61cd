"""Migrations on a cluster, planned: which releases need an old shape, what runs of the live one's, what is not gone back to."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.agent import schema as files
from slipway.errors import BadInput
from slipway.settings import load
from slipway.settings.load import root
from slipway.settings.model import Kubernetes
from slipway.target.kubernetes import deploy, records, schema
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.overlay import Overlay
from slipway.target.kubernetes.workplace import Place

Object = dict[str, Any]
KNOWN = files.read(
    "alembic",
    {
        "versions/a.py": 'revision = "a"\ndown_revision = None\nslipway = "expand"\n',
        "versions/b.py": 'revision = "b"\ndown_revision = "a"\nslipway = "contract"\n',
    },
)[0]


def place() -> Place:
    env = load.environment("staging").model_copy(
        update={"target": "kubernetes", "hosts": (), "kubernetes": Kubernetes(context="here")}
    )
    assert (root() / "compose/fineasy").is_dir()
    return Place(env, env.stacks[0], load.stack(env, "fineasy"), Overlay({"metadata": {"name": "space"}}, (), ()))


def facts(
    *releases: tuple[str, int, int], live: str, running: tuple[str, ...] = (), contracted: tuple[str, ...] = ()
) -> Facts:
    """Return what there is. `releases`: id, the run that brought it live, how many of KNOWN it was made with."""
    metas = [
        {"id": i, "version": i, "images": {}, "verified": True, "activated_run": run, "services": {},
         "schema": {"image": "r/api@sha256:1", "digest": f"of {many}", "known": KNOWN[:many]}}
        for i, run, many in releases
    ]  # fmt: skip
    maps = [records.release_record("fineasy", "space", m, []) for m in metas]
    if contracted:
        maps.append(records.state_record("fineasy", "space", {"schema": {"contracted": list(contracted)}}))
    names = [live, *running]
    pods = [
        {
            "metadata": {
                "name": f"pod-{n}",
                "labels": {"slipway.service": "api", "slipway.role": "app", "slipway.release": n},
            }
        }
        for n in names
    ]
    slices = [{
        "metadata": {"labels": {"kubernetes.io/service-name": "api"}},
        "endpoints": [{"targetRef": {"name": f"pod-{live}"}, "conditions": {"ready": True}}],
    }]  # fmt: skip
    return Facts({"metadata": {"name": "space"}}, {"ConfigMap": maps}, pods, slices)


def test_the_live_release_has_to_know_what_is_taken_away() -> None:
    found = schema.releases(place(), facts(("one", 1, 1), live="one"))
    with pytest.raises(BadInput, match="b would take away what a release needs") as refused:
        found.contracting([], KNOWN)
    assert "one serves" in refused.value.seen
    assert "brings a version that knows it" in refused.value.todo


def test_so_has_what_a_rollback_goes_back_to() -> None:
    found = schema.releases(place(), facts(("one", 1, 1), ("two", 2, 2), live="two"))
    with pytest.raises(BadInput) as refused:
        found.contracting(KNOWN[1:], KNOWN)
    assert "one is what a rollback goes back to" in refused.value.seen
    assert "once more" in refused.value.todo


def test_and_what_still_runs() -> None:
    found = schema.releases(
        place(), facts(("one", 1, 1), ("two", 2, 2), ("three", 3, 2), live="three", running=("one",))
    )
    with pytest.raises(BadInput) as refused:
        found.contracting(KNOWN[1:], KNOWN)
    assert "one still runs" in refused.value.seen


def test_then_it_runs_and_older_releases_are_not_gone_back_to() -> None:
    known = facts(("one", 1, 1), ("two", 2, 2), ("three", 3, 2), live="three", contracted=("b",))
    assert [m["id"] for m in schema.releases(place(), known).contracting(KNOWN[1:], KNOWN)] == ["b"]
    assert deploy.recorded(known, place(), None).id == "two"
    with pytest.raises(BadInput, match="release one can't be gone back to"):
        deploy.recorded(known, place(), "one")


def test_an_image_with_the_same_migrations_need_not_be_asked() -> None:
    known = facts(("one", 1, 1), live="one")
    assert schema.noted(known, "r/api@sha256:1") == KNOWN[:1]
    assert schema.noted(known, "r/api@sha256:2") is None
    assert schema.noted(known, "r/api@sha256:2", "of 1") == KNOWN[:1]
    assert schema.noted(known, "r/api@sha256:2", "of 2") is None


def test_a_pod_that_is_being_ended_still_has_requests_to_answer() -> None:
    known = facts(("one", 1, 1), ("two", 2, 2), ("three", 3, 2), live="three", running=("one",))
    for pod in known.pods:
        if pod["metadata"]["name"] == "pod-one":
            pod["metadata"]["deletionTimestamp"] = "now"
    assert schema.releases(place(), known).needed_by(["b"]) == {"one": ["b"]}
