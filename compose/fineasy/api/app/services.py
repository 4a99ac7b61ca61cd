"""What the api stands on: database, cache, model; started, checked and stopped together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app import model
from app.cache import Cache
from app.settings import Settings
from app.store import Store

log = logging.getLogger("api")
CHECK_WITHIN = 3.0
"""Seconds after which a check counts as failed."""


class Services:
    """The connections and the model of one api process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.database_url, settings.database_password)
        self.redis = Redis.from_url(
            settings.redis_url,
            password=settings.redis_password,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 1),  # once: for connections that died with a restart of the cache
        )
        self.cache = Cache(self.redis)
        self.model: model.FraudModel | None = None
        self._model_error = "is being loaded"
        self._loading: asyncio.Task[None] | None = None
        self._failed: set[str] | None = None

    async def start(self) -> None:
        """Begin to connect and to load the model; return at once: readiness tells when that is done."""
        await self.store.pool.open(wait=False)
        self._loading = asyncio.create_task(self._load_model())

    async def stop(self) -> None:
        """Close what is open."""
        if self._loading:
            self._loading.cancel()
        await self.redis.aclose()
        await self.store.pool.close(timeout=2)

    async def _load_model(self) -> None:
        started = time.perf_counter()
        try:
            # In a thread: importing scikit-learn takes most of the start, and /health answers meanwhile.
            self.model = await asyncio.to_thread(model.load, self.settings.model_folder)
        except Exception as error:
            self._model_error = str(error)
            log.exception("the model cannot be used")
            return
        fields = {"model": self.model.version, "ms": round((time.perf_counter() - started) * 1000)}
        log.info("model loaded", extra={"fields": fields})
        try:
            await self.store.register_model(self.model)
        except psycopg.Error as error:
            log.warning("the model is not registered in the database", extra={"fields": {"error": str(error)}})

    async def check_model(self) -> None:
        """Return if the model is loaded and its files are still what was loaded. Raise ModelError if not."""
        if self.model is None:
            raise model.ModelError(self._model_error)
        manifest, _ = model.verify(self.settings.model_folder)
        if manifest["sha256"] != self.model.sha256:
            raise model.ModelError("the files are not those that were loaded")

    async def check(self) -> dict[str, dict[str, Any]]:
        """Return for each dependency whether it is `ok`, how many `ms` it took to say so, and the `error` if not."""
        checks: dict[str, Callable[[], Awaitable[Any]]] = {
            "database": self.store.ping,
            "cache": self.redis.ping,
            "model_files": self.check_model,
        }
        results = await asyncio.gather(*(_timed(check) for check in checks.values()))
        found = dict(zip(checks, results, strict=True))
        errors = {name: result["error"] for name, result in found.items() if not result["ok"]}
        if errors.keys() != self._failed:
            self._failed = set(errors)
            log.log(
                logging.WARNING if errors else logging.INFO,
                "not ready" if errors else "ready",
                extra={"fields": {"failed": errors}},
            )
        return found


async def _timed(check: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    started, error = time.perf_counter(), None
    try:
        await asyncio.wait_for(check(), CHECK_WITHIN)
    except Exception as problem:
        error = str(problem) or type(problem).__name__
    result: dict[str, Any] = {"ok": error is None, "ms": round((time.perf_counter() - started) * 1000, 2)}
    return result if error is None else {**result, "error": error}
