"""A backup before the schema changes, unless one is young enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from slipway.data import document
from slipway.plan.operation import Operation
from slipway.target.kubernetes import jobs
from slipway.target.kubernetes.data import noted, pods, setup
from slipway.target.kubernetes.data.setup import Setup
from slipway.target.kubernetes.facts import Facts
from slipway.target.kubernetes.session import ClusterSession
from slipway.target.kubernetes.workplace import Place


def backed_up(place: Place, facts: Facts, operation: Operation | None) -> Operation | None:
    """Return a migration that makes a backup first, where one is to be made."""
    if operation is None or (found := _wanted(place, facts)) is None:
        return operation
    return replace(operation, params={**operation.params, "backup": found})


def _wanted(place: Place, facts: Facts) -> Setup | None:
    """Return what the pod of a backup is made of, where one is to be made; None where none is.

    None is needed where nothing was ever live: nobody has put anything there yet.
    """
    backup = place.env.backup
    if facts.first or not backup or not backup.before_migrations or not document.keeps(place.env, place.stack):
        return None
    told = noted.state(place.env, place.stack, facts) or {}
    age = told.get("age_s")
    return None if age is not None and 0 <= age < backup.fresh else setup.of(place, facts)


def make(session: ClusterSession, progress: Callable[[str], None], found: Setup) -> None:
    """Make a backup. Raises SlipwayError where none can be made: then the schema stays as it is."""
    progress("a backup first")
    setup.ensure(session.cluster, found)
    stack = found.place.stack.name
    pod = found.spec(["timer", "backup"])
    manifest = pods.job(session.namespace, stack, "slipway-backup-before", "backup", pod)
    what = "no backup could be made, so the schema stays as it is"
    jobs.run(session.cluster, manifest, progress, session.check, what)
