"""Who may ask: host names, origins, API keys; and the headers that keep a browser strict."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from lookalike.server.errors import ForbiddenError, UnauthorizedError, error_response
from lookalike.server.options import LOCAL_NAMES, ServerSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lookalike.domain.errors import LookalikeError

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
DATA_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN_PATHS: Final = frozenset({"/", "/healthz", "/readyz", "/openapi.json", "/favicon.ico"})


class Guard:
    """ASGI middleware that turns away whom the settings do not let in."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self._app = app
        self._keys = tuple(key.encode() for key in settings.api_keys)
        self._hosts = _allowed_hosts(settings)
        self._origins = frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the request, then pass it on with strict headers on its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = DATA_POLICY if str(scope["path"]).startswith("/v1/") else PAGE_POLICY

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", policy)
            await send(message)

        refusal = self._refusal(scope, Headers(scope=scope))
        app = self._app if refusal is None else error_response(refusal)
        await app(scope, receive, send_strictly)

    def _refusal(self, scope: Scope, headers: Headers) -> LookalikeError | None:
        host = headers.get("host", "")
        if self._hosts is not None and _bare_host(host) not in self._hosts:
            return ForbiddenError(
                "this server does not go by the name in the Host header",
                hint="use localhost, or add the name to the allowed hosts",
            )
        if scope["method"] not in _SAFE_METHODS and self._is_foreign(headers, host):
            return ForbiddenError(
                "a page of another site may not do this",
                hint="call from the server's own page, or without Origin and Sec-Fetch-Site",
            )
        path = str(scope["path"])
        if self._keys and not _is_open(path) and scope["method"] != "OPTIONS":
            given = _given_key(headers)
            if given is None:
                return UnauthorizedError(
                    "an API key is needed", hint="send it as X-API-Key or Authorization: Bearer"
                )
            if not self._is_known(given):
                return UnauthorizedError("the API key is not known", hint="ask whoever runs this")
        return None

    def _is_known(self, given: str) -> bool:
        """Compare with every key in constant time."""
        encoded = given.encode("utf-8", "surrogateescape")
        found = [hmac.compare_digest(encoded, key) for key in self._keys]
        return any(found)

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        """Tell whether a browser says that a page of another site makes this request."""
        origin = headers.get("origin")
        if origin is not None and origin in self._origins:
            return False
        if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return True
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def caller_of(scope: Scope, *, has_keys: bool) -> str:
    """Return what a rate limit counts by: the API key that let it in, else the address."""
    key = _given_key(Headers(scope=scope)) if has_keys else None
    client = scope.get("client")
    return f"key {key}" if key else f"address {client[0] if client else '?'}"


def _given_key(headers: Headers) -> str | None:
    if key := headers.get("x-api-key"):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _is_open(path: str) -> bool:
    """Tell whether a path holds nothing of the index: the page's own files, and health."""
    return path in _OPEN_PATHS or path.startswith("/static/")


def _allowed_hosts(settings: ServerSettings) -> frozenset[str] | None:
    """Return the names to go by, or None where any will do (a key then guards the door)."""
    if "*" in settings.allowed_hosts:
        return None
    if not settings.is_local and not settings.allowed_hosts:
        return None
    own = {*LOCAL_NAMES, settings.host.strip("[]")} if settings.is_local else set[str]()
    return frozenset(own | {_bare_host(name) for name in settings.allowed_hosts})


def _bare_host(host: str) -> str:
    """Return a Host header without its port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
