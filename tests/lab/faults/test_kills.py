"""SIGKILL of the deployer: what serves goes on serving, the next run converges, nothing is left over.

`inv bench faults` does it at every boundary and at random instants.
"""

from __future__ import annotations

import pytest

from tests.support import load
from tests.support.faults import kills
from tests.support.faults.arena import Arena
from tests.support.faults.kills import Before

SEED = 3


@pytest.mark.parametrize("verb", ["deploy", "rollback", "accessory.apply", "provision"])
def test_a_deployer_that_is_killed(verb: str, arena: Arena, before: Before, client: load.Client) -> None:
    seen = kills.boundaries(arena, verb)
    turns = kills.in_turns(SEED)
    made = [
        kills.kill_at(arena, verb, number, next(turns), client, before) for number in kills.spread(3, len(seen), SEED)
    ]
    assert [k.killed for k in made] == [True, True, True]
    assert not any(k.problems for k in made), "\n".join(k.text() for k in made)
    report = client.stop()
    assert report.failed == 0, report.text()
