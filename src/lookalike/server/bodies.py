"""Bodies of requests: JSON by a schema, one uploaded file with its fields, both bounded."""

from __future__ import annotations

import base64
import binascii
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from lookalike.domain import reasons
from lookalike.domain.errors import ImageError
from lookalike.server.errors import (
    BadBodyError,
    SlowBodyError,
    UnsupportedBodyError,
    describe_problems,
)
from lookalike.server.limits import too_large

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from fastapi import Request

    from lookalike.server.options import ServerSettings

Form = TypeVar("Form", bound=BaseModel)

MULTIPART: Final = "multipart/form-data"
JSON: Final = "application/json"
_MAX_FIELDS: Final = 32
_MAX_FIELD_BYTES: Final = 64 * 1024
_HINT: Final = "see /openapi.json for the forms"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file and the fields that came with it."""

    data: bytes = field(repr=False)
    fields: Mapping[str, str]


def media_type(request: Request) -> str:
    """Return the media type of a request's body without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json(request: Request, form: type[Form], settings: ServerSettings) -> Form:
    """Read a JSON body by its schema.

    Only `application/json` is read: a browser asks before it sends that to another site.
    """
    if media_type(request) != JSON:
        raise UnsupportedBodyError("the body must be JSON", hint=f"send Content-Type: {JSON}")
    with _in_time(settings):
        body = await request.body()
    return parse_form(form, body)


def parse_form(form: type[Form], body: bytes | Mapping[str, Any]) -> Form:
    """Validate JSON text or ready values, or raise `BadBodyError` with what is wrong."""
    try:
        if isinstance(body, bytes):
            return form.model_validate_json(body)
        return form.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise BadBodyError(
            describe_problems(dict(problem) for problem in problems), hint=_HINT
        ) from error


async def read_upload(request: Request, settings: ServerSettings) -> Upload:
    """Read a multipart body with one file in its field `file`."""
    if media_type(request) != MULTIPART:
        raise UnsupportedBodyError(
            "the body must be a multipart form or JSON",
            hint=f"send the picture in the field `file` of {MULTIPART}, or {JSON} with url",
        )
    try:
        with _in_time(settings):
            form = await request.form(
                max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
            )
    except HTTPException as error:
        raise BadBodyError(str(error.detail), hint=_HINT) from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadBodyError("there is no file in the form's field `file`", hint=_HINT)
        if (file.size or 0) > settings.max_upload_bytes:
            raise too_large(settings.max_upload_bytes)
        data = await file.read()
    finally:
        await form.close()
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    return Upload(checked(data), fields)


def decode_base64(text: str, settings: ServerSettings) -> bytes:
    """Return the bytes of a picture that came as base64, with or without a `data:` head."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBodyError("images.data is not base64", hint="encode the file's bytes") from error
    if len(data) > settings.max_upload_bytes:
        raise too_large(settings.max_upload_bytes)
    return checked(data)


def checked(data: bytes) -> bytes:
    """Return a picture's bytes, or refuse none at all."""
    if not data:
        raise ImageError(reasons.EMPTY, "the file holds no bytes", hint="choose another picture")
    return data


@contextmanager
def _in_time(settings: ServerSettings) -> Generator[None]:
    """Bound the time of a `with` block that reads a body."""
    seconds = settings.body_timeout_s
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as error:
        raise SlowBodyError(f"the body took over {seconds:g} s", hint="try again") from error
