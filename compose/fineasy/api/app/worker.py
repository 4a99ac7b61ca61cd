"""`python -m app.worker` does analyses, one at a time, until SIGTERM; the one at hand is finished first."""

from __future__ import annotations

import signal
import sys
import threading

stopping = threading.Event()
# Before the imports that take time: as process 1 of a container this process would simply not get a SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

import json  # noqa: E402
import logging  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402
from contextlib import suppress  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import psycopg  # noqa: E402
from psycopg_pool import ConnectionPool  # noqa: E402
from redis import Redis  # noqa: E402
from redis.backoff import NoBackoff  # noqa: E402
from redis.exceptions import RedisError  # noqa: E402
from redis.retry import Retry  # noqa: E402

from app import logs  # noqa: E402
from app.analysis import ANALYSES  # noqa: E402
from app.queue import WorkQueue  # noqa: E402
from app.settings import SettingError, Settings  # noqa: E402
from app.store import database_pool  # noqa: E402

log = logging.getLogger("worker")
BEAT_EVERY, WAIT = 3.0, 0.5
"""Seconds between signs of life, and for which a job, or what is away, is waited for at a time."""
ALIVE_FILE = Path("/tmp/worker-alive")  # noqa: S108 - a tmpfs of its own; the health check looks at it

# One statement: the result and the count of use are both written, or, when the number is on record already, neither.
RECORD = """
WITH done AS (
    INSERT INTO ai_analysis_results
        (number, business_id, analysis_type, status, result, error, duration_ms, worker, release)
    VALUES (%(number)s, %(business)s, %(type)s, %(status)s, %(result)s, %(error)s, %(ms)s, %(worker)s, %(release)s)
    ON CONFLICT (number) DO NOTHING RETURNING business_id
)
INSERT INTO usage_analytics (business_id, feature, day, uses)
SELECT business_id, 'analysis', current_date, 1 FROM done
ON CONFLICT (business_id, feature, day) DO UPDATE SET uses = usage_analytics.uses + 1
"""


class Worker:
    """One worker. What it waits for it waits for in small steps, with signs of life: one that is stuck gives none."""

    def __init__(self, settings: Settings) -> None:
        self.release = settings.release
        self.name = f"{socket.gethostname()}-{uuid.uuid4().hex[:6]}"
        # No retries: a BLMOVE whose answer was lost may have moved a job already, which `put_back` finds.
        patience = {"socket_timeout": 10, "retry": Retry(NoBackoff(), 0)}
        redis = Redis.from_url(settings.redis_url, password=settings.redis_password, **patience)
        self.queue = WorkQueue(redis, self.name)
        self.database = database_pool(ConnectionPool, settings, "fineasy-worker", 1)
        self.beaten = 0.0

    def run(self) -> None:
        """Work until `stopping` is set."""
        log.info("worker started", extra={"fields": {"worker": self.name}})
        self.database.open()
        while not stopping.is_set():
            self._beat()
            try:
                if moved := self.queue.put_back():
                    log.warning("jobs without a worker put back in the queue", extra={"fields": {"jobs": moved}})
                if job := self.queue.take(WAIT):
                    self._do(job)
            except RedisError as error:
                log.warning("queue not available", extra={"fields": {"error": str(error)}})
                stopping.wait(WAIT)
        with suppress(RedisError):  # the others put back what is left once the signs of life have run out
            self.queue.leave()
        self.database.close()
        log.info("worker stopped", extra={"fields": {"worker": self.name}})

    def _beat(self) -> None:
        """Give a sign of life to the other workers, and to the container's health check, where it is time for one."""
        if time.monotonic() - self.beaten < BEAT_EVERY:
            return
        try:
            self.queue.beat()
            ALIVE_FILE.touch()
            self.beaten = time.monotonic()
        except (RedisError, OSError) as error:
            log.warning("no sign of life given", extra={"fields": {"error": str(error)}})

    def _do(self, job: dict[str, Any]) -> None:
        logs.request_id.set(job["request_id"])
        started, result, problem = time.monotonic(), None, None
        try:
            result = json.dumps(ANALYSES[job["type"]](job["amounts"]), allow_nan=False)  # Postgres takes no NaN
        except Exception as error:
            log.exception("analysis failed")
            problem = f"{type(error).__name__}: {error}"
        while (left := started + job["hold"] - time.monotonic()) > 0:
            self._beat()
            time.sleep(min(left, WAIT))
        milliseconds = round((time.monotonic() - started) * 1000)
        values = {"status": "failed" if problem else "done", "result": result, "error": problem, "ms": milliseconds}
        if self._record({**job, **values, "worker": self.name, "release": self.release}):
            self.queue.done()
            log.info("analysis done", extra={"fields": {"number": job["number"], "ms": milliseconds}})
        logs.request_id.set(None)

    def _record(self, values: dict[str, Any]) -> bool:
        """Write the result, waiting for the database as long as it takes; False if SIGTERM came while it was away."""
        while True:
            self._beat()
            try:
                with self.database.connection() as connection:
                    connection.execute(RECORD, values)
                return True
            except psycopg.OperationalError as error:
                log.warning("database not available", extra={"fields": {"error": str(error)}})
                if stopping.wait(WAIT):
                    return False


def work(**_: Any) -> None:
    """Work until SIGTERM."""
    try:
        settings = Settings.from_environment()
    except SettingError as error:
        sys.exit(f"cannot start: {error}")
    logs.configure("worker", settings.release, settings.log_level)
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    Worker(settings).run()


if __name__ == "__main__":
    if "--reload" in sys.argv[1:]:  # in a process that is replaced when a source file changes
        from uvicorn import Config
        from uvicorn.supervisors import ChangeReload

        ChangeReload(Config("app.worker:work", reload=True, log_config=None), target=work, sockets=[]).run()
    else:
        work()
