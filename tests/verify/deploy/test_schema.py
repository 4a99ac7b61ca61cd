"""After a deploy: the database has had the migrations that the release expects.

Its whole shape is looked at after a migration alone: what a person took away by hand is no reason to go back to an old release.
"""

from __future__ import annotations

from tests.verify.migrate.test_schema import (  # noqa: F401 - fixtures and checks
    database,
    expected,
    test_database_has_had_what_the_release_expects,
    test_migrations_are_those_that_were_run,
    test_nothing_was_taken_away_that_the_release_needs,
)
