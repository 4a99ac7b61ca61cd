"""Numbered analysis jobs in Redis: in a list at every moment, so that none is lost when a worker dies.

A job may be done again where a worker died, or was taken for dead; its number, with which its result is recorded once,
makes that harmless.

analyses:waiting           the jobs as JSON, oldest on the right
analyses:taken:<worker>    the one that this worker works on
analyses:workers           set of workers that may have taken a job
analyses:alive:<worker>    there as long as the worker shows signs of life
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

WAITING, WORKERS = "analyses:waiting", "analyses:workers"
ALIVE_FOR = 15
"""Seconds without a sign of life after which others take over a worker's job."""


async def enqueue(redis: AsyncRedis, job: dict[str, Any]) -> None:
    """Add a job. Raise redis.exceptions.RedisError if that is not sure."""
    await redis.lpush(WAITING, json.dumps(job))


class WorkQueue:
    """The queue as one worker sees it. Methods raise redis.exceptions.RedisError."""

    def __init__(self, redis: Redis, worker: str) -> None:
        self.redis, self.worker = redis, worker

    def beat(self) -> None:
        """Give a sign of life."""
        self.redis.set(f"analyses:alive:{self.worker}", 1, ex=ALIVE_FOR)  # first: no other is to find it without
        self.redis.sadd(WORKERS, self.worker)

    def take(self, wait: float) -> dict[str, Any] | None:
        """Return the oldest waiting job, which is ours now; None if none came within `wait` seconds."""
        job = self.redis.blmove(WAITING, f"analyses:taken:{self.worker}", wait, src="RIGHT", dest="LEFT")
        return None if job is None else json.loads(job)

    def done(self) -> None:
        """Forget our job: its result is written."""
        self.redis.delete(f"analyses:taken:{self.worker}")

    def put_back(self) -> int:
        """Put what has no worker in front of the queue again: jobs of the dead, and ours of which we never heard."""
        moved = 0
        for worker in {self.worker, *(member.decode() for member in self.redis.smembers(WORKERS))}:
            if worker == self.worker or not self.redis.exists(f"analyses:alive:{worker}"):
                while self.redis.lmove(f"analyses:taken:{worker}", WAITING, src="RIGHT", dest="RIGHT") is not None:
                    moved += 1
                if worker != self.worker:
                    self.redis.srem(WORKERS, worker)
        return moved

    def leave(self) -> None:
        """Put back what is left, and be no worker any more."""
        self.put_back()
        self.redis.srem(WORKERS, self.worker)
        self.redis.delete(f"analyses:alive:{self.worker}")
