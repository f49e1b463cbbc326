"""Routes about the server itself: status, health, metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from lookalike.domain.errors import LookalikeError
from lookalike.server.context import Shared
from lookalike.server.errors import envelope
from lookalike.server.metrics import Metrics
from lookalike.server.openapi import errors
from lookalike.server.schemas import HealthAnswer, StatusAnswer

router = APIRouter(tags=["service"])


@router.get(
    "/v1/status",
    response_model=StatusAnswer,
    responses=errors(503),
    summary="The state of the index",
)
async def get_status(context: Shared) -> Response:
    """Return sizes, spaces and measured recall of the index."""
    status = await context.call(context.engine.status)
    return JSONResponse(status.to_json())


@router.get("/healthz", response_model=HealthAnswer, summary="Whether the process lives")
async def get_health() -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


@router.get(
    "/readyz",
    response_model=HealthAnswer,
    responses=errors(503),
    summary="Whether it can search",
)
async def get_readiness(context: Shared) -> Response:
    """Say whether the index answers."""
    try:
        await context.call(context.engine.status)
    except LookalikeError as error:
        return envelope(503, error.code, error.message, hint=error.hint)
    return JSONResponse({"status": "ready"})


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}, **errors(503)},
    summary="Prometheus metrics",
)
async def get_metrics(context: Shared) -> Response:
    """Return requests, stages, batches, ingest and index sizes in Prometheus's text form."""
    status = await context.call(context.engine.status)
    return Response(context.metrics.render(status), media_type=Metrics.content_type)
