"""After a rollback: the database still has all that the release needs which was gone back to."""

from __future__ import annotations

from tests.verify.deploy.test_schema import *  # noqa: F403 - the same checks, with the other release in the facts
