"""Numbered analysis jobs in Redis: none is lost when a worker dies, and the number tells whether one was done before.

analyses:waiting           list of numbers, oldest on the right
analyses:jobs              hash, number -> the job as JSON; gone once its result is written
analyses:taken:<worker>    list with the number that this worker works on
analyses:workers           set of workers that may have taken a job
analyses:alive:<worker>    there as long as the worker shows signs of life
analyses:attempts          hash, number -> how often it was taken
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

WAITING, JOBS, WORKERS, ATTEMPTS = "analyses:waiting", "analyses:jobs", "analyses:workers", "analyses:attempts"
ALIVE_FOR = 15
"""Seconds without a sign of life after which others take over a worker's job."""

# One step for Redis, so that no two workers take over the same job and a job is in a list at every moment.
TAKE_OVER = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local moved = 0
while redis.call('LMOVE', KEYS[2], KEYS[3], 'RIGHT', 'RIGHT') do moved = moved + 1 end
redis.call('SREM', KEYS[4], ARGV[1])
return moved
"""


def taken_by(worker: str) -> str:
    """Return the key of the list of what `worker` has taken."""
    return f"analyses:taken:{worker}"


def alive(worker: str) -> str:
    """Return the key that is there while `worker` lives."""
    return f"analyses:alive:{worker}"


async def enqueue(redis: AsyncRedis, number: int, job: dict[str, Any]) -> None:
    """Add a job: whole or not at all. Raise redis.exceptions.RedisError if that is not sure."""
    async with redis.pipeline(transaction=True) as both:
        both.hset(JOBS, str(number), json.dumps(job))
        both.lpush(WAITING, number)
        await both.execute()


class WorkQueue:
    """The queue as one worker sees it. Methods raise redis.exceptions.RedisError."""

    def __init__(self, redis: Redis, worker: str) -> None:
        self.redis, self.worker = redis, worker
        self._take_over = redis.register_script(TAKE_OVER)

    def beat(self) -> None:
        """Give a sign of life."""
        with self.redis.pipeline(transaction=True) as both:
            both.set(alive(self.worker), 1, ex=ALIVE_FOR)
            both.sadd(WORKERS, self.worker)
            both.execute()

    def take(self, wait: float) -> int | None:
        """Return the number of the oldest waiting job, which is ours now; None if none came within `wait` seconds."""
        number = self.redis.blmove(WAITING, taken_by(self.worker), wait, src="RIGHT", dest="LEFT")
        return None if number is None else int(number)

    def job(self, number: int) -> tuple[dict[str, Any] | None, int]:
        """Return the job (None: it is done, by somebody else) and how often it has been taken, this time included."""
        text = self.redis.hget(JOBS, str(number))
        return (None, 0) if text is None else (json.loads(text), self.redis.hincrby(ATTEMPTS, str(number), 1))

    def done(self, number: int) -> None:
        """Forget a job whose result is written."""
        with self.redis.pipeline(transaction=True) as both:
            both.lrem(taken_by(self.worker), 0, str(number))
            both.hdel(JOBS, str(number))
            both.hdel(ATTEMPTS, str(number))
            both.execute()

    def give_back(self) -> int:
        """Put what we have taken and not done back in front of the queue; return how many jobs that were."""
        moved = 0
        while self.redis.lmove(taken_by(self.worker), WAITING, src="RIGHT", dest="RIGHT") is not None:
            moved += 1
        return moved

    def take_over(self) -> int:
        """Put the jobs of workers that show no sign of life back in front of the queue; return how many."""
        moved = 0
        for member in self.redis.smembers(WORKERS):
            other = member.decode()
            keys = [alive(other), taken_by(other), WAITING, WORKERS]
            moved += 0 if other == self.worker else int(self._take_over(keys=keys, args=[other]))
        return moved

    def leave(self) -> None:
        """Give back what is left, and be no worker any more."""
        self.give_back()
        with self.redis.pipeline(transaction=True) as both:
            both.srem(WORKERS, self.worker)
            both.delete(alive(self.worker))
            both.execute()
