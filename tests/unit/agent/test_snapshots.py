"""Sets of snapshots: only whole ones are offered, in the order of their numbers, whatever clocks said."""

from __future__ import annotations

import random
from typing import Any

from slipway.agent.data import snapshots


def stored(
    run: str, seq: int, *kinds: str, parts: int | None = None, scope: str = "full", **more: str
) -> list[dict[str, Any]]:
    """Return what restic tells of one run: its parts, and a manifest unless `parts` is 0."""
    tags = {"env": "e", "stack": "s", "run": run, "seq": str(seq), "scope": scope, "release": "r-1", **more}
    made = [_one(f"{run}-{kind}", {**tags, "kind": kind, "service": kind}) for kind in kinds]
    count = len(kinds) if parts is None else parts
    return made + ([_one(f"{run}-m", {**tags, "kind": "manifest", "parts": str(count)})] if count else [])


def _one(ident: str, tags: dict[str, str]) -> dict[str, Any]:
    said = ["slipway", *(f"{k}={v}" for k, v in tags.items())]
    summary = {"total_bytes_processed": 100, "data_added_packed": 40}
    return {"id": ident, "time": "2026-01-02T03:04:05Z", "tags": said, "summary": summary}


def test_a_set_is_whole_or_is_not_offered() -> None:
    good = stored("a", 1, "postgres", "files")
    cut_short = stored("b", 2, "postgres", parts=0)
    lacking = stored("c", 3, "postgres", parts=2)
    double = [*stored("d", 4, "postgres"), *stored("d", 4, "files", parts=0)]
    everything = [*good, *cut_short, *lacking, *double]
    random.shuffle(everything)
    whole, half = snapshots.sort_out(everything, "e", "s")
    assert [s.id for s in whole] == ["a"]
    assert set(half) == {"b-postgres", "c-postgres", "c-m", "d-postgres", "d-m", "d-files"}
    assert (whole[0].size, whole[0].added, whole[0].release) == (200, 80, "r-1")
    assert whole[0].ids[0] == "a-m", "the manifest is first: what goes first when a set goes"


def test_others_snapshots_are_nobodys_business() -> None:
    foreign = {"id": "x", "time": "", "tags": None}
    mine = stored("a", 1, "files")
    others = [*stored("b", 1, "files", stack="t"), *stored("c", 1, "files", env="f"), foreign]
    whole, half = snapshots.sort_out([*mine, *others], "e", "s")
    assert ([s.id for s in whole], half) == (["a"], [])


def test_the_newest_is_told_by_number() -> None:
    """A clock that was set back makes no old backup the newest, and neither does one that is not of all."""
    sets, _ = snapshots.sort_out(
        [
            *stored("20260105", 1, "files"),
            *stored("20260101", 2, "files"),
            *stored("20260102", 3, "files", scope="safety"),
            *stored("20260103", 4, "files", scope="partial"),
        ],
        "e",
        "s",
    )
    newest = snapshots.latest(sets)
    assert newest is not None
    assert newest.id == "20260101"
    assert snapshots.find(sets, "latest") is newest
    assert snapshots.next_number(sets) == 5
    assert snapshots.next_number([]) == 1


def test_an_id_may_be_cut_short_but_not_mistaken() -> None:
    sets, _ = snapshots.sort_out([*stored("20260101-aa", 1, "files"), *stored("20260102-bb", 2, "files")], "e", "s")
    found = snapshots.find(sets, "20260102")
    assert found is not None
    assert found.id == "20260102-bb"
    assert snapshots.find(sets, "2026010") is None
    assert snapshots.find(sets, "nothing") is None
    assert snapshots.find([], "latest") is None
    assert snapshots.find(sets, "") is None


def test_tags_are_joined_as_restic_reads_them() -> None:
    assert snapshots.tagged(env="e", stack="s") == "slipway,env=e,stack=s"
