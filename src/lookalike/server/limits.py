"""How much may be asked: bytes of a body, requests a second, requests at once."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from lookalike.server.errors import (
    OverloadedError,
    RateLimitedError,
    TooLargeError,
    error_response,
)
from lookalike.server.security import caller_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lookalike.domain.errors import LookalikeError
    from lookalike.server.options import ServerSettings

_MAX_CALLERS: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A token bucket per caller; the least recent callers are forgotten beyond a bound."""

    def __init__(
        self, rate_per_s: float, burst: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate_per_s
        self._burst = float(max(burst, 1))
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now)
        self._buckets[caller] = bucket
        if len(self._buckets) > _MAX_CALLERS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            return (1.0 - bucket.tokens) / self._rate
        bucket.tokens -= 1.0
        return 0.0


class Limits:
    """ASGI middleware that bounds what reaches the API; health and the page's files pass."""

    def __init__(self, app: ASGIApp, *, settings: ServerSettings) -> None:
        self._app = app
        self._max_bytes = settings.max_body_bytes
        self._max_in_flight = settings.max_in_flight
        self._rate = RateLimit(settings.rate_per_s, settings.rate_burst)
        self._has_keys = bool(settings.api_keys)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what is over a bound, and count bytes as they arrive."""
        if scope["type"] != "http" or not str(scope["path"]).startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await error_response(refusal)(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, self._counted(receive), send)
        finally:
            self._in_flight -= 1

    def _refusal(self, scope: Scope) -> LookalikeError | None:
        if self._in_flight >= self._max_in_flight:
            return OverloadedError(
                "the server is busy", hint="try again in a second", retry_after_s=1
            )
        if wait_s := self._rate.take(caller_of(scope, has_keys=self._has_keys)):
            return RateLimitedError(
                "too many requests", hint="slow down", retry_after_s=max(1, round(wait_s + 0.5))
            )
        stated = Headers(scope=scope).get("content-length", "0")
        if stated.isdecimal() and int(stated) > self._max_bytes:
            return too_large(self._max_bytes)
        return None

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise too_large(self._max_bytes)
            return message

        return receive_counted


def too_large(bound: int) -> TooLargeError:
    """Say that a body or file is over its bound in bytes."""
    return TooLargeError(
        f"the body is over the bound of {bound / 1024 / 1024:.0f} MiB",
        hint="send a smaller copy of the picture: a longer side of 1024 pixels is plenty",
    )
