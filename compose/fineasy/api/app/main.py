"""The api as an ASGI application: `app.main:create` makes it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError

from app import logs, routes
from app.observe import Observed
from app.services import Services
from app.settings import Settings

log = logging.getLogger("api")


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    """Answer 503: what the request needs is not there now."""
    what = "queue" if isinstance(error, RedisError) else "database"
    log.error("%s not available", what, extra={"fields": {"path": request.url.path, "error": str(error)}})
    return JSONResponse({"detail": f"the {what} is not available"}, status_code=503, headers={"Retry-After": "2"})


def create() -> Observed:
    """Return the application. Raise SettingError if a setting is missing or wrong."""
    settings = Settings.from_environment()
    logs.configure("api", settings.release, settings.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = services = Services(settings)
        await services.start()
        yield
        await services.stop()

    app = FastAPI(title="FinEasy AI", version=settings.version, lifespan=lifespan)
    if settings.cors_origins:
        names = {"allow_headers": ["Content-Type", "X-Request-ID"], "expose_headers": ["X-Release", "X-Request-ID"]}
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["GET", "POST"], **names)
    app.add_exception_handler(psycopg.OperationalError, unavailable)
    app.add_exception_handler(RedisError, unavailable)
    app.include_router(routes.router)
    return Observed(app)
