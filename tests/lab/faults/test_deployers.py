"""Three who deploy at once: one wins, two are told who it is, nothing is damaged."""

from __future__ import annotations

import getpass

from tests.support import load
from tests.support.faults.arena import Arena
from tests.support.faults.census import Census, left_over


def test_three_deployers_at_once(arena: Arena, before: dict[str, Census], client: load.Client) -> None:
    names = [arena.another() for _ in range(3)]
    running = [arena.start("deploy", "--version", name) for name in names]
    done = [r.result() for r in running]
    assert sorted(d.code for d in done) == [0, 3, 3], [d.text for d in done]
    winner = next(name for name, d in zip(names, done, strict=True) if d.code == 0)
    for lost in (d for d in done if d.code == 3):
        assert getpass.getuser() in lost.err
        assert f"inv deploy --env {arena.env}" in lost.err, "it says which command has the lease"
    assert arena.get().json()["label"] == winner
    assert arena.inv("lock.show").ok().out.strip() == "free"
    assert left_over(before, arena.rest()) == []
    report = client.stop()
    assert report.failed == 0, report.text()
