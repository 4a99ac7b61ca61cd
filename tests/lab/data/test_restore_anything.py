"""Whatever is in a database comes back: random schemas and rows, backed up, wrecked, restored, compared by pg_dump."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from tests.support import anything
from tests.support import books as data
from tests.support.site import Site

EXAMPLES = 3
"""Each a database of up to twelve tables and what stands around them; `inv bench data` has many."""


def test_any_database_comes_back(books: Site) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(anything.databases())
    def comes_back(statements: list[str]) -> None:
        data.back_and_forth(books, statements)

    comes_back()
