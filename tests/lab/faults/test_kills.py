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
KILLS = 3
BOUNDARIES = {"deploy": 44, "rollback": 26, "accessory.apply": 20, "provision": 60}
"""About how many there are: `inv bench faults` counts them. Where there are less, a run is killed at its last one."""


@pytest.mark.parametrize("verb", ["deploy", "rollback", "accessory.apply"])
def test_a_deployer_that_is_killed(verb: str, arena: Arena, before: Before, client: load.Client) -> None:
    turns, numbers = kills.in_turns(SEED), kills.spread(KILLS, BOUNDARIES[verb], SEED)
    made = [kills.kill_at(arena, verb, number, next(turns), client, before) for number in numbers]
    assert [k.killed for k in made] == [True] * KILLS
    assert not any(k.problems for k in made), "\n".join(k.text() for k in made)
    report = client.stop()
    assert report.failed == 0, report.text()


def test_provisioning_that_is_killed_again_and_again(arena: Arena, before: Before, client: load.Client) -> None:
    """A whole run takes long: each goes on where the last one was killed, and the last one to the end."""
    numbers = kills.spread(KILLS, BOUNDARIES["provision"], SEED)
    made = kills.kill_in_turn(arena, "provision", numbers, "same", client, before)
    assert made.killed and not made.problems, made.text()
    report = client.stop()
    assert report.failed == 0, report.text()
