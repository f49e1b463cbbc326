"""Routes of single images: add, read, look for the like, remove."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Request
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse, RedirectResponse, Response

from lookalike.domain import reasons
from lookalike.domain.answers import record_json
from lookalike.domain.errors import ImageError, NotFoundError
from lookalike.domain.filters import parse_date
from lookalike.domain.images import ImageId, Source, image_id, is_image_id
from lookalike.domain.licences import normalise_licence
from lookalike.domain.queries import ImagePart
from lookalike.ports.source import SourceItem
from lookalike.server.bodies import JSON, media_type, parse_form, read_json, read_upload
from lookalike.server.context import Shared
from lookalike.server.copy_answers import copy_hit_json, groups_json
from lookalike.server.errors import BadBodyError
from lookalike.server.media import EXTENSIONS, safe_type_of
from lookalike.server.openapi import ADD, FILTER_PARAMETERS, errors
from lookalike.server.queries import Paging, build_query, paging, read_filters, read_region
from lookalike.server.routes_search import PAGE_NAMES, answer
from lookalike.server.schemas import (
    AddAnswer,
    ImageFields,
    RecordAnswer,
    RemoveAnswer,
    SearchAnswer,
)
from lookalike.server.schemas_copies import CopyGroupsAnswer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.engine.copies import FoundCopy
    from lookalike.engine.engine import Engine

router = APIRouter(prefix="/v1/images", tags=["images"])

Page = Annotated[Paging, Depends(paging)]
Reference = Annotated[
    str,
    Path(
        max_length=64,
        description="The image's id, or a unique beginning of it.",
        examples=["3f1c9a0e5b7d42c6a8e1f0937b6d5c24"],
    ),
]
_SIGNED_S: Final = 3600
_FOREVER: Final = "private, max-age=31536000, immutable"


@router.post(
    "",
    status_code=202,
    response_model=AddAnswer,
    responses=errors(400, 413, 415, 422, 503),
    openapi_extra=ADD,
    summary="Add a picture",
)
async def add_image(request: Request, context: Shared) -> Response:
    """Add an uploaded picture, or one from the web, with what is said of it.

    It is durable when the answer comes, and searchable within a second; where workers index what
    is added, within seconds, and one that they refuse is then in the dead letters.
    """
    if media_type(request) == JSON:
        fields = await read_json(request, ImageFields, context.settings)
        if not fields.url:
            raise BadBodyError("url: a URL is needed", hint="or upload the file as multipart")
        data = await context.call(context.fetcher.fetch, fields.url)
    else:
        upload = await read_upload(request, context.settings)
        fields, data = parse_form(ImageFields, upload.fields), upload.data
    item = SourceItem(_source_of(fields, data), "data", data=data)
    outcome = (await context.call(context.engine.submit, [item]))[0]
    if outcome.id is None:
        context.metrics.observe_ingest(outcome.reason)
        meaning = reasons.MEANING.get(outcome.reason, "the picture is refused")
        raise ImageError(outcome.reason, outcome.detail or meaning, hint=meaning)
    became = "waiting" if outcome.is_waiting else "added" if outcome.is_new else "known"
    context.metrics.observe_ingest(became)
    place = f"/v1/images/{outcome.id}"
    body = {"id": outcome.id, "is_new": outcome.is_new, "record": place}
    return JSONResponse(body, status_code=202, headers={"location": place})


@router.get(
    "/{id}",
    response_model=RecordAnswer,
    responses=errors(404, 422),
    summary="Everything known of an image",
)
async def get_record(id: Reference, context: Shared) -> Response:
    """Return the record of an image."""
    record = await context.call(context.engine.record, id)
    return JSONResponse(record_json(record))


@router.get(
    "/{id}/thumbnail",
    response_class=Response,
    responses={
        200: {"content": {"image/webp": {}, "image/jpeg": {}}},
        304: {"description": "The caller has it already."},
        307: {"description": "It is at a signed address of the object store."},
        **errors(404),
    },
    summary="A small picture of an image",
)
async def get_thumbnail(
    id: Reference,
    request: Request,
    context: Shared,
    redirect: Annotated[
        bool, Parameter(description="Answer with a signed address of the object store, if it can.")
    ] = False,
) -> Response:
    """Return the thumbnail, which never changes under its id."""
    image = _full_id(id)
    if redirect:
        url = await context.call(context.engine.thumbnail_url, image, expires_s=_SIGNED_S)
        if url is not None:
            headers = {"cache-control": f"private, max-age={_SIGNED_S // 2}"}
            return RedirectResponse(url, status_code=307, headers=headers)
    data = await context.call(context.engine.thumbnail, image)
    headers = {"etag": f'"{image}"', "cache-control": _FOREVER}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=safe_type_of(data) or "image/jpeg", headers=headers)


@router.get(
    "/{id}/original",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **errors(404)},
    summary="The picture's own file",
)
async def get_original(
    id: Reference,
    context: Shared,
    download: Annotated[bool, Parameter(description="Save it instead of showing it.")] = False,
) -> Response:
    """Return the file as it was indexed, if it is still there; SVG and the like are never shown."""
    image = _full_id(id)
    data, _ = await context.call(context.engine.original, image)
    media = safe_type_of(data)
    way = "attachment" if download or media is None else "inline"
    name = f"{image}.{EXTENSIONS.get(media or '', 'bin')}"
    headers = {
        "content-disposition": f'{way}; filename="{name}"',
        "cache-control": "private, max-age=3600",
    }
    return Response(data, media_type=media or "application/octet-stream", headers=headers)


@router.get(
    "/{id}/similar",
    response_model=SearchAnswer,
    responses=errors(400, 404),
    openapi_extra={"parameters": FILTER_PARAMETERS},
    summary="Images that look like it",
)
async def get_similar(
    id: Reference,
    request: Request,
    context: Shared,
    page: Page,
    region: Annotated[str | None, Parameter(description="x,y,w,h as fractions.")] = None,
    text: Annotated[str, Parameter(description="Words beside the picture.")] = "",
) -> Response:
    """Search by an image of the index, or by a region of it."""
    options = read_filters(request, others=PAGE_NAMES | {"region", "text"})
    images = [ImagePart("id", reference=id, region=read_region(region))]
    query = await context.call(
        build_query, context, text, options=options, page=page, images=images
    )
    return await answer(context, query, page.show)


@router.get(
    "/{id}/copies",
    response_model=SearchAnswer,
    responses=errors(400, 404),
    summary="Images that are the same picture",
)
async def get_copies(
    id: Reference,
    context: Shared,
    strictness: Annotated[
        str, Parameter(description="strict, balanced or lenient.", examples=["balanced"])
    ] = "balanced",
) -> Response:
    """Return likely copies of an image, the surest first, each with its evidence."""
    began = time.perf_counter()
    found = await context.call(_find_copies, context.engine, id, strictness)
    found = found[: context.settings.max_k]
    return JSONResponse(
        {
            "query": id,
            "hits": [copy_hit_json(one) for one in found],
            "total": len(found),
            "degraded": [],
            "timings_ms": {"total": round((time.perf_counter() - began) * 1000, 3)},
            "next": None,
            "query_id": "",
        }
    )


@router.get(
    "/{id}/group",
    response_model=CopyGroupsAnswer,
    responses=errors(404),
    summary="The copy group of an image",
)
async def get_group(id: Reference, context: Shared) -> Response:
    """Return the group that an image stands in, with why each is in it; none where it has none."""
    groups = await context.call(groups_json, context.engine, [id])
    return JSONResponse({"groups": groups})


@router.delete(
    "/{id}",
    response_model=RemoveAnswer,
    responses=errors(404, 422, 503),
    summary="Remove an image",
)
async def remove_image(
    id: Reference,
    context: Shared,
    block: Annotated[bool, Parameter(description="Never let these bytes in again.")] = False,
) -> Response:
    """Remove an image by its whole id; it is gone from every answer at once."""
    removed = await context.call(context.engine.remove, [_full_id(id)], is_blocked=block)
    if not removed:
        raise NotFoundError(f"no image {id} in this index")
    return JSONResponse({"removed": removed, "blocked": block})


def _full_id(reference: str) -> ImageId:
    if not is_image_id(reference):
        raise NotFoundError(
            f"{reference[:64]!r} is not the id of an image", hint="an id has 32 hex digits"
        )
    return ImageId(reference)


def _source_of(fields: ImageFields, data: bytes) -> Source:
    """Return the place a picture was given from; new words for the same place replace the old."""
    image = image_id(data)
    said = hashlib.sha256(fields.model_dump_json().encode()).hexdigest()[:16]
    return Source(
        uri=fields.url or f"upload:{image}",
        fingerprint=f"{image}-{said}",
        page_url=fields.page_url,
        site=_site_of(fields.page_url or fields.url),
        title=fields.title,
        alt_text=fields.alt_text,
        caption=fields.caption,
        page_text=fields.page_text,
        licence=normalise_licence(fields.licence),
        taken=parse_date(fields.taken) if fields.taken else None,
        seen=time.time(),
    )


def _site_of(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError as error:
        raise BadBodyError("page_url: not a URL", hint="leave it out if there is none") from error
    return host.lower().removeprefix("www.").rstrip(".")


def _find_copies(engine: Engine, reference: str, strictness: str) -> Sequence[FoundCopy]:
    return engine.copies.of(reference, strictness=strictness)
