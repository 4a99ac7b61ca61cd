"""Wraps the whole application: an id for each request, one log line and the metrics for each answer."""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, metrics

log = logging.getLogger("api.requests")
ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
PROBES = frozenset(("/health", "/health/ready", "/metrics"))


class Observed:
    """The outermost application. Outside of FastAPI's own middleware, so that its error pages are seen as well."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        # Whatever else a client sends there would land in logs and headers: it gets an id of ours instead.
        request_id = given if ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex
        token = logs.request_id.set(request_id)
        try:
            if scope["type"] == "http":
                await self._http(scope, receive, send, request_id)
            else:
                await self.app(scope, receive, send)
        finally:
            logs.request_id.reset(token)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started, status, complete = time.perf_counter(), 0, False

        async def counted_send(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        metrics.IN_PROGRESS.inc()
        try:
            await self.app(scope, receive, counted_send)
        except Exception:
            log.exception("unforeseen error", extra={"fields": {"path": scope["path"]}})
            if not status:
                await _server_error(counted_send)
            elif not complete:
                raise  # the server breaks the connection off: the client must not take half an answer for a whole one
        finally:
            metrics.IN_PROGRESS.dec()
            _record(scope, status or 499, complete, time.perf_counter() - started)


async def _server_error(send: Send) -> None:
    body = json.dumps({"detail": "internal error"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _record(scope: Scope, status: int, complete: bool, seconds: float) -> None:
    # The template (`/v1/insights/{business}`), never the path: a metric for each business would be too many.
    route = getattr(scope.get("route"), "path", None) or "none"
    method = scope["method"] if scope["method"] in METHODS else "other"
    # A probe that hears "not ready" was answered well; `Services.check` logs when that changes.
    probe = scope["path"] in PROBES
    failed = not complete or (status >= 500 and not probe)
    metrics.REQUESTS.labels(route, method, str(status)).inc()
    metrics.LATENCY.labels(route, method).observe(seconds)
    if failed:
        metrics.ERRORS.labels(route, method).inc()
    level = logging.WARNING if failed else logging.DEBUG if probe else logging.INFO
    if log.isEnabledFor(level):
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
        }
        if not complete:
            fields["broken_off"] = True
        log.log(level, "request", extra={"fields": fields})
