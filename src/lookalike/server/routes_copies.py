"""Routes of what people decide on copies: merge, split, keep, and take back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from lookalike.server.bodies import read_json
from lookalike.server.context import Shared
from lookalike.server.copy_answers import groups_json
from lookalike.server.errors import BadBodyError
from lookalike.server.openapi import JSON_IDS, errors
from lookalike.server.schemas import IdsRequest
from lookalike.server.schemas_copies import CopyGroupsAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.engine.engine import Engine

router = APIRouter(prefix="/v1/copies", tags=["copies"])

_ERRORS = errors(400, 404, 413, 415, 422, 503)


@router.post(
    "/merge",
    response_model=CopyGroupsAnswer,
    responses=_ERRORS,
    openapi_extra=JSON_IDS,
    summary="Say that images are one picture",
)
async def merge(request: Request, context: Shared) -> Response:
    """Put two images or more into one group, whatever is measured; return it."""
    wanted = await read_json(request, IdsRequest, context.settings)
    return JSONResponse(await context.call(_merge, context.engine, wanted.ids))


@router.post(
    "/split",
    response_model=CopyGroupsAnswer,
    responses=_ERRORS,
    openapi_extra=JSON_IDS,
    summary="Say that images are different pictures",
)
async def split(request: Request, context: Shared) -> Response:
    """Keep images apart, or one from all of its group; return the groups that they are in then."""
    wanted = await read_json(request, IdsRequest, context.settings)
    return JSONResponse(await context.call(_split, context.engine, wanted.ids))


@router.post(
    "/keep",
    response_model=CopyGroupsAnswer,
    responses=_ERRORS,
    openapi_extra=JSON_IDS,
    summary="Choose the image that stands for its group",
)
async def keep(request: Request, context: Shared) -> Response:
    """Let one image stand for its copies; return the group."""
    wanted = await read_json(request, IdsRequest, context.settings)
    if len(wanted.ids) != 1:
        raise BadBodyError("ids: one image is kept at a time", hint="name the one to show")
    return JSONResponse(await context.call(_keep, context.engine, wanted.ids))


@router.post(
    "/undo",
    response_model=CopyGroupsAnswer,
    responses=errors(503),
    summary="Take back the last decision",
)
async def undo(context: Shared) -> Response:
    """Take back the last merge, split or keep that still stands; `undone` is null where none does.

    It is the last of the index, whoever made it.
    """
    return JSONResponse(await context.call(_undo, context.engine))


def _merge(engine: Engine, ids: Sequence[str]) -> dict[str, Any]:
    engine.copies.merge(ids)
    return {"decided": "merge", "groups": groups_json(engine, ids)}


def _split(engine: Engine, ids: Sequence[str]) -> dict[str, Any]:
    before = engine.copies.group_of(ids[0]) if len(ids) == 1 else None
    engine.copies.split(ids)
    others = [record.id for record, _ in before.members] if before else []
    return {"decided": "split", "groups": groups_json(engine, [*ids, *others])}


def _keep(engine: Engine, ids: Sequence[str]) -> dict[str, Any]:
    engine.copies.keep(ids[0])
    return {"decided": "keep", "groups": groups_json(engine, ids)}


def _undo(engine: Engine) -> dict[str, Any]:
    step = engine.copies.undo()
    if step is None:
        return {"undone": None, "groups": []}
    records = engine.stores.catalog.records(list(step.rows))
    ids = [record.id for record in records if record is not None]
    return {"undone": step.kind, "groups": groups_json(engine, ids)}
