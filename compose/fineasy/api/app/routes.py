"""The api's version 1: fraud scores, insights, analyses, a stream and an echo."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, WebSocket, WebSocketDisconnect
from fastapi import Path as PathValue
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from app import logs, queue
from app.operations import services

log = logging.getLogger("api")
router = APIRouter(prefix="/v1")
Business = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Payment(BaseModel):
    """A payment to be scored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    business: Business
    payment_id: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")
    amount: float = Field(gt=0, le=1e9)
    hour: int = Field(ge=0, le=23, description="hour of the day, local time of the business")
    new_payee: bool
    foreign: bool = False
    payments_last_hour: int = Field(default=0, ge=0, le=10_000)
    account_age_days: int = Field(ge=0, le=36_500)


class Score(BaseModel):
    """How likely a payment is a fraud, and what to do with it."""

    payment_id: str
    score: float = Field(description="probability of a fraud, 0 to 1")
    verdict: Literal["allow", "review", "block"]
    alert: bool = Field(description="a fraud alert is on record")
    model_version: str
    cached: bool


class Analysis(BaseModel):
    """An analysis to be done by a worker."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    business: Business
    type: Literal["cash_flow", "anomalies", "forecast"]
    amounts: list[Annotated[float, Field(ge=-1e12, le=1e12)]] = Field(min_length=1, max_length=10_000)
    hold: float = Field(default=0, ge=0, le=60, description="least seconds it takes: to try drains and queues out")


@router.post("/fraud/score", tags=["fraud"])
async def score_payment(payment: Payment, request: Request) -> Score:
    """Score a payment. A score that is not "allow" is recorded as a fraud alert, once per payment."""
    use = services(request)
    if use.model is None:
        raise HTTPException(503, "the model is not loaded yet")
    asked = payment.model_dump()
    # The model's checksum is part of the key: an answer of another model is no answer.
    digest = hashlib.sha256(json.dumps([use.model.sha256, asked], sort_keys=True).encode()).hexdigest()
    kept = await use.cache.get("fraud_analysis", digest)
    if kept is not None:
        return Score(**kept, cached=True)
    score = use.model.score(asked)
    verdict = use.model.verdict(score)
    if verdict != "allow":
        await use.store.record_alert(asked, score, verdict, use.model.version)
    answer = {
        "payment_id": payment.payment_id,
        "score": score,
        "verdict": verdict,
        "alert": verdict != "allow",
        "model_version": use.model.version,
    }
    # After the alert: what is in the cache is on record.
    await use.cache.put("fraud_analysis", digest, answer)
    return Score(**answer, cached=False)


@router.get("/insights/{business}", tags=["insights"])
async def insights(business: Annotated[Business, PathValue()], request: Request) -> JSONResponse:
    """Return a business's insights that are valid now; `cached` tells whether they come from the cache."""
    use = services(request)
    kept = await use.cache.get("insights", business)
    if kept is not None:
        return JSONResponse({**kept, "cached": True})
    rows = await use.store.insights(business)
    if rows is None:
        raise HTTPException(404, f"no insights about {business}")
    # None outlives the insight that ends first; with none, a minute: a new one is not to be missed for a day.
    at_most = min((row.pop("valid_seconds") for row in rows), default=60.0)
    answer = {"business": business, "insights": jsonable_encoder(rows)}
    await use.cache.put("insights", business, answer, at_most)
    return JSONResponse({**answer, "cached": False})


@router.post("/analyses", status_code=202, tags=["analyses"])
async def request_analysis(analysis: Analysis, request: Request) -> dict[str, Any]:
    """Queue an analysis for a worker; return its number."""
    use = services(request)
    # From the database, not from Redis: a number never comes twice, even where the queue was lost.
    number = await use.store.next_analysis()
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    job = {**analysis.model_dump(), "request_id": logs.request_id.get(), "queued_at": now}
    await queue.enqueue(use.redis, number, job)
    log.info("analysis queued", extra={"fields": {"number": number, "type": analysis.type}})
    return {"number": number, "status": "queued", "url": f"/v1/analyses/{number}"}


@router.get("/analyses/{number}", tags=["analyses"])
async def analysis_result(number: Annotated[int, PathValue(ge=1, lt=2**63)], request: Request) -> JSONResponse:
    """Return a finished analysis; 202 while it waits or is being done; 404 if there is none of this number."""
    use = services(request)
    # In this order: a job leaves the queue only after its result is in the database, so none is in neither.
    queued = await use.redis.hexists(queue.JOBS, str(number))
    found = await use.store.analysis(number)
    if found is not None:
        return JSONResponse(jsonable_encoder(found))
    if queued:
        return JSONResponse({"number": number, "status": "queued"}, status_code=202)
    raise HTTPException(404, f"no analysis {number}")


@router.get("/stream", tags=["stream"])
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


@router.websocket("/ws")
async def echo(socket: WebSocket) -> None:
    """Send back each message, text or bytes."""
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await socket.send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
    except WebSocketDisconnect:
        return
