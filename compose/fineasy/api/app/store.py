"""What the api reads from and writes to Postgres. Every method raises psycopg.OperationalError if it is not there."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from app.model import FraudModel

PATIENCE = 2.0
"""Seconds to wait for a connection before the answer is 503."""


class Store:
    """A pool of connections and the api's statements."""

    def __init__(self, url: str, password: str | None) -> None:
        arguments: dict[str, Any] = {
            "autocommit": True,
            "row_factory": dict_row,
            "connect_timeout": 3,
            "application_name": "fineasy-api",
            "options": "-c statement_timeout=5000",
        }
        if password:
            arguments["password"] = password
        self.pool = AsyncConnectionPool(
            url,
            kwargs=arguments,
            min_size=1,
            max_size=8,
            timeout=PATIENCE,
            open=False,
            # A connection that died with a restart of the database is replaced before a request meets it.
            check=AsyncConnectionPool.check_connection,
        )

    async def _rows(self, sql: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
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
               FROM business_insights WHERE business_id = %(business)s ORDER BY created_at DESC, id DESC LIMIT 200""",
            {"business": business},
        )
        return [row for row in rows if row.pop("valid")] if rows else None

    async def record_alert(self, payment: dict[str, Any], score: float, verdict: str, model_version: str) -> None:
        """Record a fraud alert, once per payment, unless the flag `fraud_alerts` is off."""
        await self._rows(
            """INSERT INTO fraud_alerts (business_id, payment_id, score, verdict, model_version, payment)
               SELECT %(business)s, %(payment_id)s, %(score)s, %(verdict)s, %(model_version)s, %(payment)s
               WHERE coalesce((SELECT enabled FROM feature_flags WHERE name = 'fraud_alerts'), true)
               ON CONFLICT (business_id, payment_id) DO NOTHING""",
            {
                "business": payment["business"],
                "payment_id": payment["payment_id"],
                "score": score,
                "verdict": verdict,
                "model_version": model_version,
                "payment": _json(payment),
            },
        )

    async def next_analysis(self) -> int:
        """Return a number that no analysis had before."""
        return int((await self._rows("SELECT nextval('ai_analysis_number') AS number"))[0]["number"])

    async def analysis(self, number: int) -> dict[str, Any] | None:
        """Return the finished analysis of this number, or None."""
        rows = await self._rows(
            """SELECT number, business_id AS business, analysis_type AS type, status, result, error, worker, release,
                      created_at AS finished_at
               FROM ai_analysis_results WHERE number = %(number)s""",
            {"number": number},
        )
        return rows[0] if rows else None

    async def register_model(self, model: FraudModel) -> None:
        """Note that this model is in use."""
        await self._rows(
            """INSERT INTO ml_models (name, version, sha256) VALUES (%(name)s, %(version)s, %(sha256)s)
               ON CONFLICT (name, version, sha256) DO NOTHING""",
            {"name": model.name, "version": model.version, "sha256": model.sha256},
        )


def _json(value: Any) -> Any:
    from psycopg.types.json import Jsonb

    return Jsonb(value)
