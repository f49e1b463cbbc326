"""One JSON line per request, its id, and its metrics."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

from lookalike.telemetry.logs import bind_request_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lookalike.server.metrics import Metrics

_LOG: Final = logging.getLogger("lookalike.access")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class AccessLog:
    """ASGI middleware that names, times, counts and logs each request.

    The query string is left out of the log: what people search for is theirs.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and record how it went; an answer that never began is a 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id", ""))
        scope["lookalike.request_id"] = request_id
        seen = {"status": 500, "bytes": 0}

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            seen["bytes"] += len(message.get("body", b""))
            await send(message)

        began = time.perf_counter()
        with bind_request_id(request_id):
            try:
                await self._app(scope, receive, send_named)
            finally:
                self._record(scope, seen, time.perf_counter() - began)

    def _record(self, scope: Scope, seen: dict[str, int], seconds: float) -> None:
        route = _route_of(scope)
        method = str(scope["method"])
        self._metrics.observe_request(
            method if method in _METHODS else "other", route, seen["status"], seconds
        )
        client = scope.get("client")
        fields = {
            "method": method,
            "path": scope["path"],
            "route": route,
            "status": seen["status"],
            "ms": round(seconds * 1000, 2),
            "bytes": seen["bytes"],
            "client": client[0] if client else None,
        }
        _LOG.info("request", extra={"fields": fields})


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _route_of(scope: Scope) -> str:
    """Return the template of the route, so that labels stay few."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str):
        return path
    return "/static" if str(scope["path"]).startswith("/static/") else "unmatched"
