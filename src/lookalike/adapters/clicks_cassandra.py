"""The click log in a Cassandra keyspace: answers and clicks by day, each gone when it is too old.

An answer's day stands in a table by its id, so that a click finds it with one look; answers and
clicks of a day share their partitions' keys, so that a day is read whole, side by side.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from lookalike.adapters.catalog_cassandra_client import Call, CassandraClient
from lookalike.adapters.catalog_cassandra_schema import Statement
from lookalike.adapters.clicks_values import ClickBounds, pack_answer, unpack_answer
from lookalike.domain.clicks import Click, Session, check_shown, day_of
from lookalike.domain.errors import ClickError, UnknownAnswerError
from lookalike.domain.images import ImageId
from lookalike.ports.clicks import ClickCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lookalike.adapters.catalog_cassandra_options import CassandraOptions
    from lookalike.domain.clicks import Shown

SHARDS: Final = 16
"""Partitions of a day; fixed, for the keys stand in the tables."""

_READ_DAY: Final = Statement("SELECT day, at FROM @click_days WHERE query_id = ?")
_READ_ONE: Final = Statement(
    "SELECT data FROM @click_answers WHERE day = ? AND shard = ? AND query_id = ?"
)
_READ_ANSWERS: Final = Statement(
    "SELECT query_id, at, data FROM @click_answers WHERE day = ? AND shard = ?", page_rows=200
)
_READ_TIMES: Final = Statement(
    "SELECT query_id, at FROM @click_answers WHERE day = ? AND shard = ?"
)
_READ_CHOICES: Final = Statement(
    "SELECT query_id, position, image, at FROM @click_choices WHERE day = ? AND shard = ?"
)
_WRITE_DAY: Final = Statement(
    "INSERT INTO @click_days (query_id, day, at) VALUES (?, ?, ?) USING TTL ?", "write"
)
_WRITE_ANSWER: Final = Statement(
    "INSERT INTO @click_answers (day, shard, query_id, at, data) VALUES (?, ?, ?, ?, ?)"
    " USING TTL ?",
    "write",
)
_WRITE_CHOICE: Final = Statement(
    "INSERT INTO @click_choices (day, shard, query_id, position, image, at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TTL ?",
    "write",
)
_DROPS: Final = (
    Statement("DELETE FROM @click_choices WHERE day = ? AND shard = ? AND query_id = ?", "write"),
    Statement("DELETE FROM @click_answers WHERE day = ? AND shard = ? AND query_id = ?", "write"),
)
_DROP_DAY: Final = Statement("DELETE FROM @click_days WHERE query_id = ?", "write")


class CassandraClickLog:
    """`ports.clicks.ClickLog` over the tables that the catalog's provisioner makes.

    `most_answers` of the bounds is for a file; here a time to live alone bounds the log.
    """

    def __init__(
        self,
        options: CassandraOptions,
        bounds: ClickBounds | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the place; the first call connects."""
        self._options = options
        self._connected: CassandraClient | None = None
        self._connecting = threading.Lock()
        self._bounds = bounds or ClickBounds()
        self._clock = clock

    def add_answers(self, answers: Sequence[Shown]) -> None:
        """Write answers, each before its day, so that one that is found is there."""
        ttl = int(self._bounds.seconds)
        self._client.wave(
            [
                Call(_WRITE_ANSWER, (*_place(one.query_id, one.at), one.at, pack_answer(one), ttl))
                for one in answers
            ]
        )
        self._client.wave(
            [Call(_WRITE_DAY, (one.query_id, day_of(one.at), one.at, ttl)) for one in answers]
        )

    def add_click(self, click: Click) -> None:
        """Write a click; a further one on the same position takes its place."""
        found = self._client.run(_READ_DAY, click.query_id)
        at = found[0][1] if found else 0.0
        place = _place(click.query_id, at)
        data = self._client.run(_READ_ONE, *place) if found and at >= self._oldest() else []
        if not data:
            raise UnknownAnswerError(
                f"no answer {click.query_id} is in the click log",
                hint="it was not logged, or is too old",
            )
        check_shown(click, unpack_answer(data[0][0]).images)
        values = (*place, click.position, click.image, click.at, int(self._bounds.seconds))
        self._client.run(_WRITE_CHOICE, *values)

    def sessions(
        self, *, since: float | None = None, until: float | None = None
    ) -> Iterator[Session]:
        """Yield the answers of a time with their clicks, day by day."""
        begin = max(since or 0.0, self._oldest())
        end = float("inf") if until is None else until
        for key in self._partitions(begin, end):
            answers, choices = self._client.streams(
                [Call(_READ_ANSWERS, key), Call(_READ_CHOICES, key)]
            )
            clicks: dict[str, list[Click]] = {}
            for query_id, position, image, at in choices:
                made = Click(query_id, ImageId(image), position, at)
                clicks.setdefault(query_id, []).append(made)
            for query_id, at, data in answers:
                if not begin <= at < end:
                    continue
                try:
                    yield Session(unpack_answer(data), tuple(clicks.get(query_id, ())))
                except ClickError:  # a damaged line costs no others
                    continue

    def forget(self, *, before: float | None = None, query_id: str | None = None) -> int:
        """Delete answers with their clicks."""
        if query_id is not None:
            found = self._client.run(_READ_DAY, query_id)
            chosen = [(query_id, at) for _, at in found if before is None or at < before]
        else:
            end = float("inf") if before is None else before
            chosen = [one for one in self._times() if one[1] < end]
        drops = [Call(drop, _place(*one)) for drop in _DROPS for one in chosen]
        self._client.wave([*drops, *(Call(_DROP_DAY, (one[0],)) for one in chosen)])
        return len(chosen)

    def counts(self) -> ClickCounts:
        """Return how much there is; reads the whole log."""
        times = dict(self._times())
        clicks = 0
        for key in self._partitions(self._oldest(), float("inf")):
            lines = self._client.run(_READ_CHOICES, *key)
            clicks += sum(line[0] in times for line in lines)
        if not times:
            return ClickCounts(0, 0)
        return ClickCounts(len(times), clicks, min(times.values()), max(times.values()))

    def close(self) -> None:
        """Close the connections; again, it does nothing."""
        with self._connecting:
            if self._connected is not None:
                self._connected.close()

    @property
    def _client(self) -> CassandraClient:
        with self._connecting:
            if self._connected is None:
                self._connected = CassandraClient.connect(self._options)
            return self._connected

    def _times(self) -> list[tuple[str, float]]:
        oldest = self._oldest()
        keys = list(self._partitions(oldest, float("inf")))
        found = self._client.wave([Call(_READ_TIMES, key) for key in keys])
        return [(query_id, at) for lines in found for query_id, at in lines if at >= oldest]

    def _oldest(self) -> float:
        return self._clock() - self._bounds.seconds

    def _partitions(self, begin: float, end: float) -> Iterator[tuple[Any, ...]]:
        """Yield the partitions of a time; as far ahead as a clock that went back may have been."""
        last = min(end, self._clock() + self._bounds.seconds)
        for day in range(day_of(begin), day_of(last) + 1):
            for shard in range(SHARDS):
                yield day, shard


def _place(query_id: str, at: float) -> tuple[int, int, str]:
    return day_of(at), crc32(query_id.encode()) % SHARDS, query_id
