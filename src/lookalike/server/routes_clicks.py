"""The route that takes clicks, which the order of hits is learned from."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lookalike.server.bodies import read_json
from lookalike.server.context import Shared
from lookalike.server.openapi import JSON_CLICK, errors
from lookalike.server.schemas import ClickAnswer, ClickRequest

router = APIRouter(prefix="/v1", tags=["search"])


@router.post(
    "/clicks",
    response_model=ClickAnswer,
    responses=errors(400, 404, 413, 415, 422, 503),
    openapi_extra=JSON_CLICK,
    summary="Tell which hit was chosen",
)
async def click(request: Request, context: Shared) -> Response:
    """Keep a click on an answer that is logged; where nothing is logged, it is dropped."""
    wanted = await read_json(request, ClickRequest, context.settings)
    if context.clicks is None:
        return JSONResponse({"is_logged": False})
    await context.call(context.clicks.click, wanted.query_id, wanted.image_id, wanted.position)
    return JSONResponse({"is_logged": True})
