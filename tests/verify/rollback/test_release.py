"""After a rollback: all that a deploy promises, of the release that was gone back to."""

from __future__ import annotations

from tests.verify.deploy.test_release import *  # noqa: F403 - the same checks, with the other release in the facts
