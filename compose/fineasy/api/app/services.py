"""What the api stands on: database, cache, model; started, checked and stopped together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app import model
from app.cache import Cache
from app.settings import API, Settings
from app.store import Store

log = logging.getLogger("api")
CHECK_WITHIN = 3.0
"""Seconds after which a check counts as failed."""


class Services:
    """The connections and the model of one api process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings)
        self.redis = Redis.from_url(
            settings.redis_url,
            password=settings.redis_password,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 1),  # once: for connections that died with a restart of the cache
        )
        self.cache = Cache(self.redis)
        self.model: model.FraudModel | None = None
        self._failed: set[str] | None = None

    async def start(self) -> None:
        """Begin to connect and to load the model; return at once: readiness tells when that is done."""
        await self.store.pool.open(wait=False)
        self._loading = asyncio.create_task(self._load_model())

    async def stop(self) -> None:
        """Close what is open."""
        self._loading.cancel()
        await self.redis.aclose()
        await self.store.pool.close(timeout=2)

    async def _load_model(self) -> None:
        try:
            # In a thread: importing scikit-learn takes most of the start, and /health answers meanwhile.
            self.model = await asyncio.to_thread(model.load, API / "model")
            await self.store.register_model(self.model.name, self.model.version, self.model.sha256)
        except Exception:
            log.exception("the model is not %s", "registered in the database" if self.model else "usable")

    async def _check_model(self) -> None:
        manifest, _ = model.verify(API / "model")
        if self.model is None or manifest["sha256"] != self.model.sha256:
            raise model.ModelError("the files are not those that were loaded" if self.model else "it is not loaded")

    async def check(self) -> dict[str, dict[str, Any]]:
        """Return for each dependency whether it is `ok`, how many `ms` it took to say so, and the `error` if not."""
        checks = {"database": self.store.ping, "cache": self.redis.ping, "model_files": self._check_model}
        found = dict(zip(checks, await asyncio.gather(*map(_timed, checks.values())), strict=True))
        failed = {name: result["error"] for name, result in found.items() if not result["ok"]}
        if failed.keys() != self._failed:
            self._failed = set(failed)
            level = logging.WARNING if failed else logging.INFO
            log.log(level, "not ready" if failed else "ready", extra={"fields": {"failed": failed}})
        return found


async def _timed(check: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    started, error = time.perf_counter(), ""
    try:
        await asyncio.wait_for(check(), CHECK_WITHIN)
    except Exception as problem:
        error = str(problem) or type(problem).__name__
    found = {"ok": not error, "ms": round((time.perf_counter() - started) * 1000, 2)}
    return {**found, "error": error} if error else found
