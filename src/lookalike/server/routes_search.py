"""Routes that search: by words, by picture, and what completes a query."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse, Response

from lookalike.server.bodies import JSON, media_type, read_json, read_upload
from lookalike.server.context import Context, Shared
from lookalike.server.errors import UnsupportedBodyError
from lookalike.server.media import safe_type_of
from lookalike.server.openapi import FILTER_PARAMETERS, FORM_OR_URL, JSON_SEARCH, JSON_URL, errors
from lookalike.server.queries import (
    Paging,
    build_query,
    data_part,
    paging,
    query_of_body,
    read_filters,
    read_region,
)
from lookalike.server.schemas import SearchAnswer, SearchRequest, SuggestAnswer, UrlRequest
from lookalike.server.showing import Show, answer_of

if TYPE_CHECKING:
    from lookalike.domain.queries import Query

router = APIRouter(prefix="/v1", tags=["search"])

PAGE_NAMES: Final = frozenset(
    {"k", "cursor", "explain", "show", "collapse", "as_typed", "more", "less", "diversity"}
)
Page = Annotated[Paging, Depends(paging)]


@router.get(
    "/search",
    response_model=SearchAnswer,
    responses=errors(400, 404, 422, 503),
    openapi_extra={"parameters": FILTER_PARAMETERS},
    summary="Search by words in the query language",
)
async def search_words(
    request: Request,
    context: Shared,
    page: Page,
    q: Annotated[str, Parameter(description="The query language.", examples=["dog beach"])] = "",
) -> Response:
    """Search by words, filters, and `img:` with the id of an image."""
    options = read_filters(request, others=PAGE_NAMES | {"q"})
    query = await context.call(build_query, context, q, options=options, page=page)
    return await answer(context, query, page.show)


@router.post(
    "/search",
    response_model=SearchAnswer,
    responses=errors(400, 404, 413, 415, 422, 503),
    openapi_extra=JSON_SEARCH,
    summary="Search by words, pictures, regions and weights",
)
async def search_parts(request: Request, context: Shared) -> Response:
    """Search by everything at once; pictures are ids, URLs or base64."""
    read_filters(request, others=frozenset())
    body = await read_json(request, SearchRequest, context.settings)
    query = await context.call(query_of_body, context, body)
    return await answer(context, query, body.show)


@router.post(
    "/search/image",
    response_model=SearchAnswer,
    responses=errors(400, 404, 413, 415, 422, 503),
    openapi_extra=FORM_OR_URL | {"parameters": FILTER_PARAMETERS},
    summary="Search by an uploaded picture or a URL",
)
async def search_image(
    request: Request,
    context: Shared,
    page: Page,
    region: Annotated[
        str | None, Parameter(description="x,y,w,h as fractions.", examples=["0.1,0.2,0.5,0.5"])
    ] = None,
    text: Annotated[str, Parameter(description="Words beside the picture.")] = "",
) -> Response:
    """Search by one picture, or a region of it, with words and filters beside it."""
    options = read_filters(request, others=PAGE_NAMES | {"region", "text"})
    box = read_region(region)
    if media_type(request) == JSON:
        wanted = await read_json(request, UrlRequest, context.settings)
        data = await context.call(context.fetcher.fetch, wanted.url)
    else:
        data = (await read_upload(request, context.settings)).data
    images = [data_part(data, box)]
    query = await context.call(
        build_query, context, text, options=options, page=page, images=images
    )
    return await answer(context, query, page.show)


@router.post(
    "/fetch",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **errors(400, 413, 415, 422)},
    openapi_extra=JSON_URL,
    summary="Fetch a picture from the web under guard",
)
async def fetch(request: Request, context: Shared) -> Response:
    """Return a picture's bytes, so that the page can show and crop what is then searched for."""
    wanted = await read_json(request, UrlRequest, context.settings)
    data = await context.call(context.fetcher.fetch, wanted.url)
    media = safe_type_of(data)
    if media is None:
        raise UnsupportedBodyError("the URL leads to no picture", hint="give a picture's own URL")
    return Response(data, media_type=media, headers={"cache-control": "no-store"})


@router.get(
    "/suggest",
    response_model=SuggestAnswer,
    responses=errors(422, 503),
    summary="Complete what is being typed",
)
async def suggest(
    context: Shared,
    q: Annotated[str, Parameter(max_length=200, examples=["bea"])],
    limit: Annotated[int, Parameter(ge=1, le=20)] = 8,
) -> Response:
    """Return words of the index that begin as `q` does."""
    found = await context.call(context.engine.suggest, q, limit=limit) if q.strip() else ()
    return JSONResponse({"suggestions": list(found)})


async def answer(context: Context, query: Query, show: Show) -> Response:
    """Search in a thread, count it, and give the one JSON form."""
    most = context.settings.max_k
    recorder = context.clicks if show == "all" else None
    if recorder is not None:
        query = recorder.traced(query)
    found = await context.call(answer_of, context.engine, query, show, most=most)
    if not found.result.query_id:
        found = replace(found, result=replace(found.result, query_id=uuid.uuid4().hex))
    if recorder is not None:
        shown = await context.call(recorder.show, query, found.result)
        found = replace(found, result=shown)
    context.metrics.observe_search(found.result)
    return JSONResponse(found.to_json())
