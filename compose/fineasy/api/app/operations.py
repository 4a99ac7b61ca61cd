"""What those who run the api ask it: is it alive, is it ready, how is it doing, what is it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.services import Services

router = APIRouter(tags=["operations"])


def services(request: Request) -> Services:
    """Return what this api stands on."""
    found: Services = request.app.state.services
    return found


@router.get("/health")
async def alive() -> dict[str, str]:
    """Answer: this process works. Says nothing of what it depends on: restarting it would not help those."""
    return {"status": "alive"}


@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """Tell of database, cache and model files whether each is there; 503 if one is not."""
    checks = await services(request).check()
    failed = [name for name, check in checks.items() if not check["ok"]]
    body = {"status": "not ready" if failed else "ready", "failed": failed, "checks": checks}
    return JSONResponse(body, status_code=503 if failed else 200)


@router.get("/metrics")
async def metrics() -> Response:
    """Tell Prometheus how requests, answers and the cache are doing."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
async def version(request: Request) -> dict[str, Any]:
    """Tell release, version and model."""
    known, model = services(request).settings, services(request).model
    return {
        "release": known.release,
        "version": known.version,
        "model": model and {"name": model.name, "version": model.version, "sha256": model.sha256},
    }
