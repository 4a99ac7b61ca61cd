"""`python -m app.worker` does analyses, one at a time, until SIGTERM; the one at hand is finished first."""

from __future__ import annotations

import os
import signal
import sys
import threading

stopping = threading.Event()
# Before the imports that take time: as process 1 of a container this process would simply not get a SIGTERM.
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

import logging  # noqa: E402
import secrets  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import psycopg  # noqa: E402
from psycopg.types.json import Jsonb  # noqa: E402
from redis import Redis  # noqa: E402
from redis.backoff import NoBackoff  # noqa: E402
from redis.exceptions import RedisError  # noqa: E402
from redis.retry import Retry  # noqa: E402

from app import logs  # noqa: E402
from app.analysis import ANALYSES  # noqa: E402
from app.queue import WorkQueue  # noqa: E402
from app.settings import SettingError, Settings  # noqa: E402

log = logging.getLogger("worker")
BEAT_EVERY, TAKE_OVER_EVERY, WAIT, STUCK_AFTER = 3.0, 5.0, 0.5, 180.0
"""Seconds."""
MOST_ATTEMPTS = 5
"""A job that was taken so often without a result kills its workers: it is recorded as failed."""

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
    """One worker: a main thread that works, and another one that gives signs of life for it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        redis = Redis.from_url(
            settings.redis_url,
            password=settings.redis_password,
            socket_timeout=10,
            # No retries: a BLMOVE whose answer was lost may have moved a job already. `_recover` looks for it.
            retry=Retry(NoBackoff(), 0),
        )
        self.queue = WorkQueue(redis, self.name)
        self.alive_file = Path(os.environ.get("ALIVE_FILE", "/tmp/worker-alive"))  # noqa: S108 - a tmpfs of its own
        self.moved = time.monotonic()
        self.ended = threading.Event()
        self.database: psycopg.Connection | None = None

    def run(self) -> None:
        """Work until `stopping` is set."""
        signs = threading.Thread(target=self._give_signs_of_life, daemon=True)
        signs.start()
        log.info("worker started", extra={"fields": {"worker": self.name}})
        looked, broken = 0.0, False
        while not stopping.is_set():
            self.moved = time.monotonic()
            try:
                if broken:
                    self._recover()
                    broken = False
                if time.monotonic() - looked > TAKE_OVER_EVERY:
                    looked = time.monotonic()
                    if moved := self.queue.take_over():
                        log.warning("jobs of a dead worker taken over", extra={"fields": {"jobs": moved}})
                number = self.queue.take(WAIT)
                if number is not None:
                    self._handle(number)
            except RedisError as error:
                broken = True
                log.warning("queue not available", extra={"fields": {"error": str(error)}})
                stopping.wait(WAIT)
        self.ended.set()
        signs.join(timeout=BEAT_EVERY)
        self._leave()
        log.info("worker stopped", extra={"fields": {"worker": self.name}})

    def _recover(self) -> None:
        self.queue.redis.ping()
        if back := self.queue.give_back():
            log.warning("own jobs put back in the queue", extra={"fields": {"jobs": back}})

    def _leave(self) -> None:
        try:
            self.queue.leave()
        except RedisError as error:  # the others take over what is left once the signs of life have run out
            log.warning("left without a word to the queue", extra={"fields": {"error": str(error)}})
        self.alive_file.unlink(missing_ok=True)

    def _handle(self, number: int) -> None:
        job, attempts = self.queue.job(number)
        if job is None:  # done by a worker that could not say so any more
            self.queue.done(number)
            return
        token = logs.request_id.set(job.get("request_id"))
        try:
            started = time.monotonic()
            result = self._analyse(number, job, attempts)
            result["ms"] = round((time.monotonic() - started) * 1000)
            if self._record(number, job, result):
                self.queue.done(number)
                fields = {"number": number, "type": job["type"], "status": result["status"], "ms": result["ms"]}
                log.info("analysis done", extra={"fields": fields})
        finally:
            logs.request_id.reset(token)

    def _analyse(self, number: int, job: dict[str, Any], attempts: int) -> dict[str, Any]:
        if attempts > MOST_ATTEMPTS:
            return {"status": "failed", "result": None, "error": f"given up after {MOST_ATTEMPTS} attempts"}
        started = time.monotonic()
        try:
            result = ANALYSES[job["type"]](job["amounts"])
        except Exception as error:
            log.exception("analysis failed", extra={"fields": {"number": number}})
            return {"status": "failed", "result": None, "error": f"{type(error).__name__}: {error}"}
        time.sleep(max(0.0, started + job.get("hold", 0) - time.monotonic()))
        return {"status": "done", "result": Jsonb(result), "error": None}

    def _record(self, number: int, job: dict[str, Any], result: dict[str, Any]) -> bool:
        """Write the result, waiting for the database as long as it takes; False if SIGTERM came while it was away."""
        values = {
            **result,
            "number": number,
            "business": job["business"],
            "type": job["type"],
            "worker": self.name,
            "release": self.settings.release,
        }
        while True:
            self.moved = time.monotonic()
            try:
                self._connection().execute(RECORD, values)
            except (psycopg.OperationalError, psycopg.errors.UndefinedTable) as error:
                log.warning("database not available", extra={"fields": {"number": number, "error": str(error)}})
                if stopping.wait(WAIT):
                    return False
            else:
                return True

    def _connection(self) -> psycopg.Connection:
        if self.database is None or self.database.broken or self.database.closed:
            password = {"password": self.settings.database_password} if self.settings.database_password else {}
            self.database = psycopg.connect(
                self.settings.database_url,
                autocommit=True,
                connect_timeout=5,
                application_name="fineasy-worker",
                options="-c statement_timeout=10000",
                **password,
            )
        return self.database

    def _give_signs_of_life(self) -> None:
        """Beat in the queue and touch the file of the health check, as long as the main thread moves."""
        while True:
            if time.monotonic() - self.moved < STUCK_AFTER:
                try:
                    self.queue.beat()
                    self.alive_file.touch()
                except (RedisError, OSError) as error:
                    log.warning("no sign of life given", extra={"fields": {"error": str(error)}})
            if self.ended.wait(BEAT_EVERY):
                return


def work(**_: Any) -> None:
    """Work until SIGTERM."""
    try:
        settings = Settings.from_environment()
    except SettingError as error:
        sys.exit(f"cannot start: {error}")
    logs.configure("worker", settings.release, settings.log_level)
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    Worker(settings).run()


def work_reloading() -> None:
    """Work in a process that is replaced when a source file changes (it finishes its job first)."""
    from uvicorn import Config
    from uvicorn.supervisors import ChangeReload

    ChangeReload(Config("app.worker:work", reload=True, log_config=None), target=work, sockets=[]).run()


if __name__ == "__main__":
    work_reloading() if "--reload" in sys.argv[1:] else work()
