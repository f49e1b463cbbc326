"""What every route shares: the engine behind a bounded pool of threads, fetcher, settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from lookalike.server.metrics import Metrics
from lookalike.server.options import ServerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.engine.click_recorder import ClickRecorder
    from lookalike.engine.engine import Engine
    from lookalike.engine.past_queries import PastQueries
    from lookalike.ports.source import Fetcher

Params = ParamSpec("Params")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Context:
    """One server's tools; the engine's calls block, so they run in threads of their own."""

    engine: Engine
    fetcher: Fetcher
    settings: ServerSettings
    metrics: Metrics
    clicks: ClickRecorder | None = None
    past: PastQueries | None = None
    _limiter: anyio.CapacityLimiter | None = field(default=None, repr=False)

    async def call(
        self, function: Callable[Params, Answer], *args: Params.args, **kwargs: Params.kwargs
    ) -> Answer:
        """Run a blocking call in a thread; at most `settings.threads` run at once."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self.settings.threads)
        return await anyio.to_thread.run_sync(
            lambda: function(*args, **kwargs), limiter=self._limiter
        )


def _context_of(request: Request) -> Context:
    return cast("Context", request.app.state.context)


Shared = Annotated[Context, Depends(_context_of)]
"""The route's way to the context."""
