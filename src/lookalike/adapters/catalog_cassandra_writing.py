"""Commits and removals: read, plan, carry out, and again when another writer was there."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_carrying import Carrier
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_errors import is_refused
from lookalike.adapters.catalog_cassandra_grouping import Regrouper
from lookalike.adapters.catalog_cassandra_mapping import (
    BUCKET_MICROS,
    blocked_part,
    fact_values,
    id_prefix,
    pack_number,
    real,
    source_values,
    whole,
)
from lookalike.adapters.catalog_cassandra_planning import Plan
from lookalike.adapters.catalog_cassandra_scene import SceneReader
from lookalike.adapters.catalog_values import pack_key, pack_objects, pack_words, require_id
from lookalike.domain.errors import BackendTimeoutError, StoreError
from lookalike.domain.images import Row
from lookalike.ports.catalog import NewImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from lookalike.adapters.catalog_cassandra_client import CassandraClient
    from lookalike.adapters.catalog_cassandra_planning import Scene
    from lookalike.ports.catalog import Batch
    from lookalike.ports.copies import CopyMember

ATTEMPTS: Final = 12
LOG: Final = b"changes"
MOST_BYTES: Final = 8 << 20
"""Cassandra takes 16 MiB in one write, by its default."""

_LOG_TOGETHER: Final = 100
_DAY_S: Final = 86_400
_PAUSE_S: Final = 0.005


class Ticker:
    """Numbers that rise, microseconds where the clock does; never below one that was seen."""

    def __init__(self, micros: Callable[[], int]) -> None:
        self._micros = micros
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Return the next number."""
        with self._lock:
            self._last = max(self._last + 1, self._micros())
            return self._last

    def witness(self, number: int) -> None:
        """Go on above a number that another writer has given."""
        with self._lock:
            self._last = max(self._last, number)


class CatalogWriter:
    """Commits and removals of one process; any number of writers may be at work on the tables.

    What a failed commit owes to log and counts is paid by the next one, which also learns what the
    writes have done that were never answered. Where a counter was not answered, or the process
    ends before it has paid, its mark in `commits_open` stays and `recount` mends.
    """

    def __init__(
        self,
        client: CassandraClient,
        *,
        clock: Callable[[], float],
        ticker: Ticker,
        uri_parts: int,
    ) -> None:
        self._client = client
        self._clock = clock
        self._tick = ticker
        self._reader = SceneReader(client)
        self._carrier = Carrier(client, clock=clock, tick=ticker, uri_parts=uri_parts)
        self._regrouper = Regrouper(client, self._carrier, ticker)
        self._left: set[int] = set()
        self._writing = threading.Lock()

    @property
    def name(self) -> UUID:
        """Under which this writer's mark stands in `commits_open`."""
        return self._carrier.name

    def commit(self, batch: Batch) -> int:
        """State a batch and return the seq reached.

        Raises:
            StoreError: something in the batch cannot be held, or a row is another image's.
            BackendError: the cluster failed; the same commit may be tried again.
        """
        check_batch(batch)
        with self._writing:
            plan = self._persist(lambda: self._reader.for_batch(batch), lambda p: p.apply(batch))
            self._mend_left()
            return self._finish(plan.scene.seq)

    def remove(self, ids: Sequence[bytes], *, is_blocked: bool) -> list[int]:
        """Remove images and return their rows; a block is stated before the images are read."""
        rows: dict[int, None] = {}
        with self._writing:
            if is_blocked:
                listed = [Call(cql.PUT_BLOCKED, (blocked_part(key), key)) for key in ids]
                blocks = [Call(cql.BLOCK_ID, (id_prefix(key), key)) for key in ids]
                self._client.wave([*listed, *blocks])
            plan = self._persist(
                lambda: self._reader.for_removal(ids),
                lambda p: rows.update(dict.fromkeys(p.remove(ids))),
            )
            self._mend_left()
            self._finish(plan.scene.seq)
        return list(rows)

    def regroup(self, rows: Sequence[int], members: Sequence[CopyMember]) -> None:
        """Take rows out of their copy groups and put members in."""
        with self._writing:
            self._regrouper.replace(rows, members)
            self._finish(0)

    def mend_groups(self, groups: Sequence[int]) -> None:
        """Give copy groups one canonical image, and end those of one image."""
        with self._writing:
            self._regrouper.mend(groups)
            self._finish(0)

    def log(self, changes: Mapping[int, tuple[bool, bytes]]) -> int:
        """Append changes of rows (removal or not, id) to the log and return its last seq."""
        ttl = self._client.options.log_days * _DAY_S
        buckets: dict[int, list[Call]] = {}
        seq = 0
        for row, (is_removal, key) in changes.items():
            seq = self._tick()
            bucket = seq // BUCKET_MICROS
            entry = Call(cql.PUT_CHANGE, (bucket, seq, row, is_removal, key, ttl))
            buckets.setdefault(bucket, []).append(entry)
        calls: list[Call] = []
        for entries in buckets.values():
            for at in range(0, len(entries), _LOG_TOGETHER):
                first, *further = entries[at : at + _LOG_TOGETHER]
                calls.append(Call(first.statement, first.values, further))
        parts = [(LOG, pack_number(bucket)) for bucket in buckets]
        self._carrier.derive(calls, parts, ttl + _DAY_S)
        self._client.run(cql.PUT_SEQ, seq, seq)
        return seq

    def count(self, counts: Mapping[tuple[str, bytes], int]) -> None:
        """Move counters.

        One that was surely not moved is owed; one that may have been makes counts unsure.
        """
        owed, moves = self._carrier.owed, [pair for pair in counts.items() if pair[1]]
        outcomes = self._client.attempt([Call(cql.COUNT, (by, *name)) for name, by in moves])
        for (name, by), outcome in zip(moves, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                if is_refused(outcome):
                    owed.counts[name] += by
                else:
                    owed.is_unsure = True
        self._carrier.require_known(outcomes)

    def is_mended(self) -> None:
        """Note that a recount has seen to whatever was unsure."""
        owed = self._carrier.owed
        owed.doubts.clear()
        owed.rows.clear()
        owed.is_unsure = owed.is_open = False

    def _persist(self, read: Callable[[], Scene], apply: Callable[[Plan], None]) -> Plan:
        """Read, plan and carry out until no other writer came in between."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0.0, _PAUSE_S * 2 ** min(attempt, 6)))  # noqa: S311
            scene = read()
            versions = [one.version for one in (*scene.images.values(), *scene.uris.values())]
            self._tick.witness(max([scene.seq, *versions]))
            self._carrier.owed.resolve(scene)
            plan = Plan(scene, now=self._clock(), tick=self._tick)
            if scene.unsettled():
                plan.settle()
                self._carrier.carry(plan)
                continue
            apply(plan)
            self._left |= plan.left
            if self._carrier.carry(plan):
                return plan
        raise BackendTimeoutError(
            self._client.options.name,
            f"other writers changed the same images {ATTEMPTS} times in a row",
            hint="try again",
        )

    def _mend_left(self) -> None:
        """Give the copy groups that images have left another canonical image, or end them."""
        self._regrouper.mend(self._left)
        self._left.clear()

    def _finish(self, seq: int) -> int:
        """Pay what is owed to log and counts; return the seq reached."""
        owed = self._carrier.owed
        if owed.changes:
            seq = self.log(owed.changes)
            owed.changes = {}
        counts, owed.counts = owed.counts, Counter()
        self.count(counts)
        if owed.is_open and owed.is_settled:
            self._client.run(cql.DROP_OPEN, self._carrier.name)
            owed.is_open = False
            owed.rows.clear()
        return seq


def check_batch(batch: Batch) -> None:
    """Refuse what could not be held, before anything is written.

    Raises:
        StoreError: an id, a row or a number is out of the question.
    """
    for new in batch.images:
        _require_small(new.facts.id, fact_values(new))
        real(new.first_seen or 0.0)
        real(new.last_seen or 0.0)
        if whole(new.row) < 0:
            raise StoreError(f"{new.row} is no row", hint="rows are 0 to 2^63 - 1")
        if batch.rows is not None and new.row >= batch.rows:
            raise StoreError(
                f"a commit states {batch.rows} rows and one at {new.row}",
                hint="another writer was here; open the index again",
            )
    for reading in batch.readings:
        require_id(reading.image)
        packed = [pack_objects(reading.objects or ()), pack_words(reading.words or ())]
        if reading.facts is not None:
            packed += fact_values(NewImage(Row(0), reading.facts))
        _require_small(reading.image, packed)
    for image, source in batch.sources:
        require_id(image)
        _require_small(source.uri, source_values(0, source))
    for failure in batch.failures:
        real(failure.seen)
        texts = (failure.uri, failure.reason, failure.detail, failure.fingerprint)
        _require_small(failure.uri, [pack_key(text) for text in texts])


def _require_small(what: str, values: Iterable[object]) -> None:
    size = sum(len(value) for value in values if isinstance(value, bytes))
    if size > MOST_BYTES:
        raise StoreError(
            f"{size} bytes of text are said of {what[:200]!r}; {MOST_BYTES} is the most",
            hint="shorten captions and page texts before they come here",
        )
