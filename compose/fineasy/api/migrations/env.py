"""Runs the migrations: all that are pending in one transaction, whole or not at all, one runner at a time."""

from __future__ import annotations

import logging
import sys

import psycopg
from alembic import context
from app import logs
from app.settings import Settings
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import DBAPIError

LOCK = 7_305_811_240
"""Number of the advisory lock that runners hold. Any number, as long as it stays the same."""

WAIT_FOR_RUNNER = "120s"
WAIT_FOR_TABLE = "5s"
"""A migration that waits for a table makes all that come after it wait as well: it gives up soon."""
LONGEST_STATEMENT = "5min"

settings = Settings.from_environment()
logs.configure("migrate", settings.release, settings.log_level)
logging.getLogger("alembic").setLevel(logging.INFO)


def connect() -> psycopg.Connection:
    """Return a connection; its password goes into no URL."""
    name, password = "fineasy-migrate", settings.database_password
    return psycopg.connect(settings.database_url, password=password, connect_timeout=10, application_name=name)


def run() -> None:
    """Bring the database to the revision asked for."""
    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=False)
        with context.begin_transaction():
            connection.execute(text(f"SET LOCAL statement_timeout = '{LONGEST_STATEMENT}'"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_RUNNER}'"))
            # Ends with the transaction. The revision is read after this: a second runner finds nothing left to do.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_TABLE}'"))
            context.run_migrations()


if context.is_offline_mode():
    sys.exit("migrations are run against a database: `alembic upgrade head`")
try:
    run()
except DBAPIError as error:
    sys.exit(f"migration failed, the database is as it was before: {error.orig}")
