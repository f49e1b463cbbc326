"""The route that completes a line of the query language as it is typed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse, Response

from lookalike.domain.completing import LONGEST_COMPLETED, MOST_COMPLETED
from lookalike.engine.completion import complete
from lookalike.server.context import Shared
from lookalike.server.openapi import errors
from lookalike.server.schemas import CompleteAnswer

router = APIRouter(prefix="/v1", tags=["search"])


@router.get(
    "/complete",
    response_model=CompleteAnswer,
    responses=errors(422, 503),
    summary="Complete a query in the query language",
)
async def complete_query(
    context: Shared,
    q: Annotated[str, Parameter(max_length=LONGEST_COMPLETED, examples=["dog color:b"])],
    limit: Annotated[int, Parameter(ge=1, le=MOST_COMPLETED)] = 8,
) -> Response:
    """Return whole lines that go on as `q` does: words of the index, filters, values, objects."""
    found = await context.call(complete, context.engine, q, limit=limit, past=context.past)
    return JSONResponse({"completions": [one.to_json() for one in found]})
