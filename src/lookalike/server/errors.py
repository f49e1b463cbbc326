"""The errors of HTTP itself, and the one envelope in which every error leaves.

LookalikeError
└── HttpError
    ├── UnauthorizedError      no API key, or a wrong one                  401
    ├── ForbiddenError         a foreign page or an unknown Host header    403
    ├── SlowBodyError          the body did not arrive in time             408
    ├── TooLargeError          the body is over its bound                  413
    ├── UnsupportedBodyError   the body is of another media type           415
    ├── BadBodyError           the body or a parameter has a wrong form    422
    ├── RateLimitedError       too many requests from one caller           429
    └── OverloadedError        too many requests at once                   503
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lookalike.domain.errors import LookalikeError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fastapi import FastAPI, Request
    from starlette.responses import Response

_LOG: Final = logging.getLogger("lookalike.server")


class HttpError(LookalikeError):
    """A request that is refused before it reaches the engine."""

    code = "http"
    http_status = 400

    def __init__(self, message: str, *, hint: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class UnauthorizedError(HttpError):
    """No API key, or a wrong one."""

    code = "unauthorized"
    http_status = 401


class ForbiddenError(HttpError):
    """A request that a foreign page made, or that names an unknown host."""

    code = "forbidden"
    http_status = 403


class SlowBodyError(HttpError):
    """The body did not arrive in time."""

    code = "slow_body"
    http_status = 408


class TooLargeError(HttpError):
    """The body is over its bound."""

    code = "too_large"
    http_status = 413


class UnsupportedBodyError(HttpError):
    """The body is of a media type that this route does not read."""

    code = "unsupported_media_type"
    http_status = 415


class BadBodyError(HttpError):
    """The body or a parameter does not have the form that it must have."""

    code = "validation"
    http_status = 422


class RateLimitedError(HttpError):
    """Too many requests from one caller."""

    code = "rate_limited"
    http_status = 429


class OverloadedError(HttpError):
    """More requests at once than the server takes on."""

    code = "overloaded"
    http_status = 503


def error_response(error: LookalikeError) -> JSONResponse:
    """Put an error into its envelope."""
    headers: dict[str, str] = {}
    if isinstance(error, HttpError) and error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    elif isinstance(error, StoreError):
        headers["retry-after"] = "5"
    if isinstance(error, UnauthorizedError):
        headers["www-authenticate"] = 'Bearer realm="lookalike"'
    return JSONResponse({"error": error.to_json()}, error.http_status, headers)


def envelope(
    status: int,
    code: str,
    message: str,
    *,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Build the error envelope."""
    body = {"code": code, "message": message, "hint": hint}
    return JSONResponse({"error": body}, status_code=status, headers=dict(headers or {}))


def describe_problems(problems: Iterable[Mapping[str, Any]]) -> str:
    """Say in one line what a validator found."""
    lines: list[str] = []
    for problem in problems:
        place = [str(step) for step in problem["loc"] if step not in {"query", "body", "path"}]
        lines.append(f"{'.'.join(place)}: {problem['msg']}" if place else str(problem["msg"]))
    return "; ".join(lines[:3]) or "the request is not valid"


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of an app leave in the envelope."""
    app.add_exception_handler(LookalikeError, _on_lookalike_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_crash)


async def _on_lookalike_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, LookalikeError)
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("%s: %s", error.code, error.message)
    return error_response(error)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return envelope(
        422, "validation", describe_problems(error.errors()), hint="see /openapi.json for the forms"
    )


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {
        404: ("not_found", f"there is nothing at {request.url.path[:200]}"),
        405: ("method_not_allowed", f"{request.method} is not possible here"),
    }
    code, message = known.get(error.status_code, ("http", error.detail))
    hint = "see /openapi.json for what there is" if error.status_code in known else ""
    return envelope(error.status_code, code, message, hint=hint, headers=error.headers)


async def _on_crash(request: Request, _: Exception) -> Response:
    """Answer for a defect of ours; Starlette raises it again afterwards, so that it is logged."""
    request_id = str(request.scope.get("lookalike.request_id", ""))
    return envelope(
        500,
        "internal",
        "something went wrong inside Lookalike",
        hint=f"the server's log tells more under request id {request_id}",
        headers={"x-request-id": request_id, "x-content-type-options": "nosniff"},
    )
