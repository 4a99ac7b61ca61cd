"""Wraps the whole application: an id for each request, one log line and the metrics for each answer."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, metrics

log = logging.getLogger("api.requests")
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
PROBES = frozenset(("/health", "/health/ready", "/metrics"))


class Observed:
    """The outermost application. Outside of FastAPI's own middleware, so that its error pages are seen as well."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        # Whatever else a client sends there would land in logs and headers: it gets an id of ours instead.
        request_id = given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
        logs.request_id.set(request_id)
        started, status, complete = time.perf_counter(), 499, False

        async def observed_send(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self.app(scope, receive, observed_send)
        finally:
            _record(scope, status, complete, time.perf_counter() - started)


def _record(scope: Scope, status: int, complete: bool, seconds: float) -> None:
    # The template (`/v1/insights/{business}`), never the path: a metric for each business would be too many.
    route = getattr(scope.get("route"), "path", None) or "none"
    method = scope["method"]  # the server accepts those that it knows
    # A probe that hears "not ready" was answered well; `Services.check` logs when that changes.
    probe = scope["path"] in PROBES
    failed = not complete or (status >= 500 and not probe)
    metrics.REQUESTS.labels(route, method, str(status)).inc()
    metrics.LATENCY.labels(route, method).observe(seconds)
    if failed:
        metrics.ERRORS.labels(route, method).inc()
    level = logging.WARNING if failed else logging.DEBUG if probe else logging.INFO
    if log.isEnabledFor(level):
        fields = {"method": method, "path": scope["path"], "route": route, "status": status}
        fields |= {"ms": round(seconds * 1000, 2), **({} if complete else {"broken_off": True})}
        log.log(level, "request", extra={"fields": fields})
