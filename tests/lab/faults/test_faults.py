"""Faults of what a deploy stands on: each is noticed in time and told, users notice nothing, and the next deploy works.

`inv bench faults` plays those too that take long.
"""

from __future__ import annotations

import pytest

from tests.support.faults.arena import Arena
from tests.support.faults.played import play
from tests.support.faults.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.short], ids=lambda s: s.name.replace(" ", "_"))
def test_a_fault(scenario: Scenario, whole: Arena) -> None:
    played = play(whole, scenario)
    assert not played.problems, "\n".join(played.problems)
