"""What OpenAPI is told beyond what the routes' types say: bodies, filters, errors."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import BaseModel

from lookalike.server.queries import FILTER_NAMES
from lookalike.server.schemas import (
    ClickRequest,
    ErrorEnvelope,
    IdsRequest,
    ImageFields,
    SearchRequest,
    UrlRequest,
)

API_VERSION: Final = "1.0"

DESCRIPTION: Final = """Search your own pictures by words and by picture.

Every error has one form: `{"error": {"code", "message", "hint"}}`. Paging is by `cursor`: send
the `next` of an answer with the same query. An API key goes into `X-API-Key` or
`Authorization: Bearer`; on localhost none is needed.
"""

TAGS: Final[list[dict[str, Any]]] = [
    {"name": "search", "description": "Find images by words, by picture, or by both."},
    {"name": "images", "description": "Add, read and remove images."},
    {"name": "copies", "description": "Decide which images are the same picture."},
    {"name": "service", "description": "How the index and the server are."},
]

_MEANINGS: Final = {
    400: "The query, a filter or the cursor is wrong.",
    401: "An API key is needed, or the given one is not known.",
    403: "A page of another site made the request, or the Host header is unknown.",
    404: "There is no such image.",
    413: "The body is over its bound.",
    415: "The body is of a media type that is not read.",
    422: "A field is wrong, or the picture is refused (`reason` says why).",
    429: "Too many requests; Retry-After says when to come back.",
    503: "Busy, or a store cannot do its work; Retry-After says when to come back.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may end in these statuses."""
    wanted = sorted({*statuses, 401, 403, 422, 429, 503})
    return {status: {"model": ErrorEnvelope, "description": _MEANINGS[status]} for status in wanted}


FILTER_PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"Filter: {meaning}.",
        "schema": {"type": "integer", "minimum": 0} if "_" in name else {"type": "string"},
    }
    for name, meaning in FILTER_NAMES.items()
]


def _inlined(form: type[BaseModel]) -> dict[str, Any]:
    """Return a form's schema with the forms it refers to written out inside it."""
    schema = form.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, list):
            return [resolve(value) for value in cast("list[Any]", node)]
        if not isinstance(node, dict):
            return node
        found = cast("dict[str, Any]", node)
        if isinstance(reference := found.get("$ref"), str):
            return resolve(definitions[reference.rsplit("/", 1)[-1]])
        return {name: resolve(value) for name, value in found.items()}

    return resolve(schema)


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


_URL: Final[dict[str, Any]] = {"application/json": {"schema": _inlined(UrlRequest)}}
_FILE: Final[dict[str, Any]] = {
    "type": "string",
    "format": "binary",
    "description": "The picture's file.",
}


def _form(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["file"], "properties": {"file": _FILE, **properties}}
    return {"multipart/form-data": {"schema": schema}}


JSON_SEARCH: Final = _body({"application/json": {"schema": _inlined(SearchRequest)}})
JSON_IDS: Final = _body({"application/json": {"schema": _inlined(IdsRequest)}})
JSON_CLICK: Final = _body({"application/json": {"schema": _inlined(ClickRequest)}})
JSON_URL: Final = _body(_URL)
FORM_OR_URL: Final = _body({**_form({}), **_URL})
ADD: Final = _body(
    {
        **_form(_inlined(ImageFields)["properties"]),
        "application/json": {"schema": _inlined(ImageFields) | {"required": ["url"]}},
    }
)
