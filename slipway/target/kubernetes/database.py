"""The Postgres that an accessory of a stack is on a cluster: asked by the psql of its own pod; migrations in SQL run there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from slipway.agent import psql, schema
from slipway.errors import SlipwayError
from slipway.settings.model import Stack
from slipway.target.kubernetes import kubectl
from slipway.target.kubernetes.facts import Facts, ready
from slipway.target.kubernetes.kinds import POD
from slipway.target.kubernetes.manifests import ROLE, SERVICE
from slipway.target.kubernetes.session import ClusterSession

Progress = Callable[[str], None]
_TRIES = 5


def ahead(session: ClusterSession, stack: Stack, facts: Facts) -> None:
    """Ask the database for its migrations while other work goes on: a way into its pod takes kubectl half a second."""
    settings = stack.migrate
    if settings is None or settings.kind == "command" or facts.first:
        return
    told: Future[dict[str, Any]] = Future()

    def ask() -> None:
        try:
            told.set_result(Database(session, str(settings.database)).state())
        except Exception as error:
            told.set_exception(error)

    session.state = told
    threading.Thread(target=ask, daemon=True).start()  # where nothing is to be done, nobody waits for it


class Database:
    """The Postgres that an accessory of the stack is, asked by the psql of its own pod: no password leaves it."""

    def __init__(self, session: ClusterSession, service: str) -> None:
        self.session, self.service = session, service
        pods = session.cluster.items(POD, session.namespace, **{SERVICE: service, ROLE: "accessory"})
        self.pod = next((p["metadata"]["name"] for p in pods if ready(p)), "")
        if not self.pod:
            raise SlipwayError(f"the database {service} does not run", where=f"service {service}")

    def ask(self, text: str, options: str = "", first: Sequence[str] = ()) -> str:
        """Have psql do a text; return what it printed.

        Raises:
            psql.Failed: Postgres refused a statement.
        """
        words = [word for sql in first for word in ("-c", sql)]
        argv = ["exec", "--namespace", self.session.namespace, "--stdin", self.pod, "--container", self.service, "--"]
        argv += ["env", f"PGOPTIONS={options}", "PGAPPNAME=slipway", *psql.PSQL, *words, "-f", "-"]
        done = kubectl.call(self.session.cluster.settings, argv, stdin=text, timeout=24 * 3600.0)
        if done.code != 0:
            raise psql.Failed(done.err or done.out)
        return done.out

    def first_state(self) -> dict[str, Any]:
        """Return the same as `state`, as it was asked ahead in this run, once."""
        asked, self.session.state = self.session.state, None
        with contextlib.suppress(SlipwayError):  # it was not to be had then
            if asked is not None:
                return asked.result()
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return what the database says of its migrations."""
        try:
            return psql.read_state(self.ask(psql.STATE))
        except (psql.Failed, ValueError) as error:
            raise SlipwayError(
                "the database can't be asked for its version", where=self.pod, seen=str(error)
            ) from error


def run_sql(
    database: Database, progress: Progress, due: Sequence[schema.Migration], how: Mapping[str, Any], release: str
) -> None:
    """Run migrations, each whole or not at all. Raises SlipwayError for the first that fails."""
    options = options_of(how)
    for number, migration in enumerate(due, 1):
        progress(f"{migration['file']} ({number} of {len(due)})")

        def once(migration: schema.Migration = migration) -> None:
            whole = migration["transaction"]
            text = (psql.in_transaction if whole else psql.outside_transaction)(migration, release)
            lock = f"SELECT pg_advisory_xact_lock({psql.LOCK})"
            database.ask(text, options if whole else "", ["BEGIN", lock] if whole else [])

        try:
            _patiently(once, how, progress)
        except psql.Failed as error:
            undone = " and was undone" if migration["transaction"] else ""
            seen = "\n".join(part for part in (error.what, error.detail, error.statement) if part)
            where = f"{migration['file']}:{error.line}" if error.line else migration["file"]
            raise SlipwayError(
                f"the migration {where} failed{undone}", where=f"service {database.service}", seen=seen
            ) from error


def options_of(how: Mapping[str, Any]) -> str:
    """Return libpq's options with the time limits of a stack's migrations."""
    limits = {key: int(how[key] * 1000) for key in ("lock_timeout", "statement_timeout")}
    return " ".join(f"-c {key}={value}" for key, value in limits.items())


def _patiently(once: Callable[[], None], how: Mapping[str, Any], progress: Progress) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            once()
            return
        except psql.Failed as error:
            if not error.locked_out or attempt == _TRIES:
                raise
        pause = how["lock_timeout"] * 2 ** (attempt - 1)
        progress(f"somebody else keeps the lock, again in {pause:.0f} s ({attempt + 1} of {_TRIES})")
        time.sleep(pause)
