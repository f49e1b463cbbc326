"""Fetch the URLs of any source, many at once, while its order is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeAlias

from lookalike.domain.errors import FetchError
from lookalike.domain.images import Source
from lookalike.ports.source import Fetcher, PictureSource, SourceItem, error_item

IN_FLIGHT: Final = 16

_Pending: TypeAlias = SourceItem | Future[SourceItem]


class FetchedSource:
    """Another source, its `url` items turned into `data` items (or errors) by a fetcher.

    At most `in_flight` items wait at once, so memory stays flat and a stopped consumer stops the
    fetching. Items for which `is_known` is true (asked in the consumer's thread) are passed on
    unfetched, for a run that adds only what is new.
    """

    def __init__(
        self,
        source: PictureSource,
        fetcher: Fetcher,
        *,
        in_flight: int = IN_FLIGHT,
        is_known: Callable[[Source], bool] = lambda _: False,
    ) -> None:
        self._source = source
        self._fetcher = fetcher
        self._in_flight = max(1, in_flight)
        self._is_known = is_known

    @property
    def name(self) -> str:
        """What the user named."""
        return self._source.name

    @property
    def prefix(self) -> str | None:
        """The inner source's prefix."""
        return self._source.prefix

    def count(self) -> int | None:
        """Return the inner source's count."""
        return self._source.count()

    def items(self) -> Iterator[SourceItem]:
        """Yield the items in the inner source's order, fetching ahead."""
        waiting: deque[_Pending] = deque()
        pool = ThreadPoolExecutor(self._in_flight, thread_name_prefix="fetch")
        try:
            for item in self._source.items():
                if item.kind == "url" and not self._is_known(item.source):
                    waiting.append(pool.submit(self._fetch, item))
                else:
                    waiting.append(item)
                while waiting and (len(waiting) >= self._in_flight or _is_ready(waiting[0])):
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, item: SourceItem) -> SourceItem:
        try:
            data = self._fetcher.fetch(item.url)
        except FetchError as error:
            return error_item(item.source.uri, error.reason, str(error), url=item.url)
        return replace(item, kind="data", data=data)


def _is_ready(pending: _Pending) -> bool:
    return not isinstance(pending, Future) or pending.done()


def _result(pending: _Pending) -> SourceItem:
    return pending.result() if isinstance(pending, Future) else pending
