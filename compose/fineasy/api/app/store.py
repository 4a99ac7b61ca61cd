"""What the api reads from and writes to Postgres. Every method raises psycopg.OperationalError if it is not there."""

from __future__ import annotations

from typing import Any, TypeVar

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from app.settings import Settings

Pool = TypeVar("Pool", AsyncConnectionPool, ConnectionPool)


def database_pool(kind: type[Pool], settings: Settings, name: str, size: int) -> Pool:
    """Return a pool, not yet open, of connections that go by `name` in the database."""
    options = {"autocommit": True, "connect_timeout": 3, "options": "-c statement_timeout=5000"}
    return kind(
        settings.database_url,
        kwargs={"password": settings.database_password, "application_name": name, "row_factory": dict_row, **options},
        min_size=1,
        max_size=size,
        open=False,
        timeout=2.0,  # seconds to wait for a connection
        reconnect_timeout=5.0,  # then a new attempt: by default pauses get longer and longer, though the database is back
        check=kind.check_connection,  # one that died with a restart of the database is replaced before a statement meets it
    )


class Store:
    """The api's statements."""

    def __init__(self, settings: Settings) -> None:
        self.pool = database_pool(AsyncConnectionPool, settings, "fineasy-api", 8)

    async def _rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        async with self.pool.connection() as connection:
            cursor = await connection.execute(sql, values)
            return await cursor.fetchall() if cursor.description else []

    async def ping(self) -> None:
        """Return if the database answers."""
        await self._rows("SELECT 1")

    async def insights(self, business: str) -> list[dict[str, Any]] | None:
        """Return the insights that are valid now, newest first; None if the business has never had one."""
        rows = await self._rows(
            """SELECT insight_type AS type, summary, details, created_at, valid_until, valid_until > now() AS valid,
                      extract(epoch FROM valid_until - now())::float8 AS valid_seconds
               FROM business_insights WHERE business_id = %s ORDER BY created_at DESC, id DESC LIMIT 200""",
            business,
        )
        return [row for row in rows if row.pop("valid")] if rows else None

    async def record_alert(self, payment: dict[str, Any], score: float, verdict: str, model_version: str) -> None:
        """Record a fraud alert, once per payment, unless the flag `fraud_alerts` is off."""
        await self._rows(
            """INSERT INTO fraud_alerts (business_id, payment_id, score, verdict, model_version, payment)
               SELECT %s, %s, %s, %s, %s, %s
               WHERE coalesce((SELECT enabled FROM feature_flags WHERE name = 'fraud_alerts'), true)
               ON CONFLICT (business_id, payment_id) DO NOTHING""",
            *(payment["business"], payment["payment_id"], score, verdict, model_version, Jsonb(payment)),
        )

    async def next_analysis(self) -> int:
        """Return a number that no analysis had before."""
        return int((await self._rows("SELECT nextval('ai_analysis_number') AS number"))[0]["number"])

    async def analysis(self, number: int) -> dict[str, Any] | None:
        """Return the analysis of this number, finished or with the status `queued`; None if none was asked for."""
        rows = await self._rows(
            """SELECT number, business_id AS business, analysis_type AS type, status, result, error, worker, release,
                      created_at AS finished_at
               FROM ai_analysis_results WHERE number = %s""",
            number,
        )
        if not rows:
            known = (
                "SELECT %s AS number, 'queued' AS status FROM ai_analysis_number WHERE is_called AND last_value >= %s"
            )
            rows = await self._rows(known, number, number)
        return rows[0] if rows else None

    async def register_model(self, name: str, version: str, sha256: str) -> None:
        """Note that this model is in use."""
        sql = "INSERT INTO ml_models (name, version, sha256) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
        await self._rows(sql, name, version, sha256)
