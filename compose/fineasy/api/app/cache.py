"""Answers kept in Redis. A cache that is down costs speed, never an answer."""

from __future__ import annotations

import json
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app import metrics

log = logging.getLogger("api.cache")
TTL = {"insights": 24 * 3600, "fraud_analysis": 6 * 3600}
"""Longest life of an answer in seconds, by kind."""


class Cache:
    """JSON values by kind and key."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def get(self, kind: str, key: str) -> Any | None:
        """Return the value kept for `key`, or None: not there, or no cache to ask."""
        try:
            kept = await self.redis.get(f"cache:{kind}:{key}")
        except RedisError as error:
            log.warning("cache cannot be read", extra={"fields": {"error": str(error)}})
            kept = None
        (metrics.CACHE_MISSES if kept is None else metrics.CACHE_HITS).labels(kind).inc()
        return None if kept is None else json.loads(kept)

    async def put(self, kind: str, key: str, value: Any, at_most: float = 1e9) -> None:
        """Keep `value` for the kind's time, or `at_most` seconds where that is less."""
        seconds = int(min(TTL[kind], at_most))
        try:
            if seconds > 0:
                await self.redis.set(f"cache:{kind}:{key}", json.dumps(value), ex=seconds)
        except RedisError as error:
            log.warning("cache cannot be written", extra={"fields": {"error": str(error)}})
