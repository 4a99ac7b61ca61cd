"""What the api answers: to those who run it (alive, ready, metrics, version), and its version 1."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response, WebSocket
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from app import logs, queue
from app.services import Services

log = logging.getLogger("api")
router = APIRouter()
BUSINESS = r"^[a-z0-9][a-z0-9_-]{0,63}$"


def services(request: Request) -> Services:
    """Return what this api stands on."""
    return request.app.state.services


@router.get("/", include_in_schema=False)
async def start(request: Request) -> dict[str, Any]:
    """Say what this is, and where to look."""
    see = ["/docs", "/health/ready", "/version", "/metrics", "/v1/insights/demo", "/v1/stream?seconds=5"]
    return {"service": "fineasy", "release": services(request).settings.release, "see": see}


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
    use = services(request)
    model = use.model and {"name": use.model.name, "version": use.model.version, "sha256": use.model.sha256}
    return {"release": use.settings.release, "version": use.settings.version, "model": model}


class Body(BaseModel):
    """What is asked for, about a business."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    business: str = Field(pattern=BUSINESS)


class Payment(Body):
    """A payment to be scored."""

    payment_id: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")
    amount: float = Field(gt=0, le=1e9)
    hour: int = Field(ge=0, le=23, description="hour of the day, local time of the business")
    new_payee: bool
    foreign: bool = False
    payments_last_hour: int = Field(default=0, ge=0, le=10_000)
    account_age_days: int = Field(ge=0, le=36_500)


class Analysis(Body):
    """An analysis to be done by a worker."""

    type: Literal["cash_flow", "anomalies", "forecast"]
    amounts: list[Annotated[float, Field(ge=-1e12, le=1e12)]] = Field(min_length=1, max_length=10_000)
    hold: float = Field(default=0, ge=0, le=60, description="least seconds it takes: to try drains and queues out")


@router.post("/v1/fraud/score")
async def score_payment(payment: Payment, request: Request) -> dict[str, Any]:
    """Score a payment: probability of a fraud and what to do. All but "allow" is a fraud alert on record, once each."""
    use = services(request)
    if use.model is None:
        raise HTTPException(503, "the model is not loaded yet")
    asked = payment.model_dump()
    # The model's checksum is part of the key: an answer of another model is no answer.
    digest = hashlib.sha256(json.dumps([use.model.sha256, asked], sort_keys=True).encode()).hexdigest()
    if kept := await use.cache.get("fraud_analysis", digest):
        return {**kept, "cached": True}
    score = use.model.score(asked)
    verdict, version = use.model.verdict(score), use.model.version
    if verdict != "allow":
        await use.store.record_alert(asked, score, verdict, version)
    answer = {"payment_id": payment.payment_id, "score": score, "verdict": verdict, "alert": verdict != "allow"}
    answer |= {"model_version": version}
    await use.cache.put("fraud_analysis", digest, answer)  # after the alert: what is in the cache is on record
    return {**answer, "cached": False}


@router.get("/v1/insights/{business}")
async def insights(business: Annotated[str, Path(pattern=BUSINESS)], request: Request) -> dict[str, Any]:
    """Return a business's insights that are valid now; `cached` tells whether they come from the cache."""
    use = services(request)
    if kept := await use.cache.get("insights", business):
        return {**kept, "cached": True}
    rows = await use.store.insights(business)
    if rows is None:
        raise HTTPException(404, f"no insights about {business}")
    # None outlives the insight that ends first; with none, a minute: a new one is not to be missed for a day.
    at_most = min((row.pop("valid_seconds") for row in rows), default=60.0)
    answer = {"business": business, "insights": jsonable_encoder(rows)}
    await use.cache.put("insights", business, answer, at_most)
    return {**answer, "cached": False}


@router.post("/v1/analyses", status_code=202)
async def request_analysis(analysis: Analysis, request: Request) -> dict[str, Any]:
    """Queue an analysis for a worker; return its number."""
    use = services(request)
    # From the database, not from Redis: a number never comes twice, even where the queue was lost.
    number = await use.store.next_analysis()
    job = {"number": number, **analysis.model_dump(), "request_id": logs.request_id.get()}
    await queue.enqueue(use.redis, job)
    log.info("analysis queued", extra={"fields": {"number": number, "type": analysis.type}})
    return {"number": number, "status": "queued", "url": f"/v1/analyses/{number}"}


@router.get("/v1/analyses/{number}")
async def analysis_result(number: Annotated[int, Path(ge=1, lt=2**63)], request: Request) -> JSONResponse:
    """Return an analysis: 202 while it waits or is being done; 404 if there is none of this number."""
    found = await services(request).store.analysis(number)
    if found is None:
        raise HTTPException(404, f"no analysis {number}")
    return JSONResponse(jsonable_encoder(found), status_code=202 if found["status"] == "queued" else 200)


@router.get("/v1/stream")
async def stream(request: Request, seconds: Annotated[int, Query(ge=1, le=3600)] = 10) -> StreamingResponse:
    """Send an event a second, so many, then the event `done`. A stream that has begun is finished, also on SIGTERM."""
    release = services(request).settings.release

    async def events() -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for count in range(1, seconds + 1):
            yield f"id: {count}\ndata: {json.dumps({'count': count, 'of': seconds, 'release': release})}\n\n"
            await asyncio.sleep(max(0.0, begin + count - loop.time()))
        yield f"event: done\ndata: {json.dumps({'count': seconds, 'release': release})}\n\n"

    # no-transform and X-Accel-Buffering: a proxy on the way must neither compress nor collect the events.
    headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


@router.websocket("/v1/ws")
async def echo(socket: WebSocket) -> None:
    """Send back each message, text or bytes."""
    await socket.accept()
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        await socket.send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
