"""Listings over whole tables, token range by token range: for exports and repairs, not queries."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby, islice, pairwise
from typing import TYPE_CHECKING, Final

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_carrying import ALL, COPIES, COPY_GROUPS, REASONS
from lookalike.adapters.catalog_cassandra_client import Call
from lookalike.adapters.catalog_cassandra_derived import FAILURES
from lookalike.adapters.catalog_cassandra_grouping import odd_groups
from lookalike.adapters.catalog_cassandra_mapping import record_of, unpack_pair
from lookalike.adapters.catalog_values import unpack_key
from lookalike.ports.catalog import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.adapters.catalog_cassandra_client import CassandraClient, Line
    from lookalike.adapters.catalog_cassandra_schema import Statement
    from lookalike.adapters.catalog_cassandra_writing import CatalogWriter
    from lookalike.domain.images import ImageRecord

SAMPLE_PIECES: Final = 16
GROUPS_TOGETHER: Final = 64

_Counts = Counter[tuple[str, bytes]]


def all_lines(client: CassandraClient, statement: Statement) -> Iterator[Line]:
    """Yield every line of a listing, a page at a time."""
    for low, high in client.token_ranges():
        (lines,) = client.streams([Call(statement, (low, high))])
        yield from lines


def all_records(client: CassandraClient) -> Iterator[ImageRecord]:
    """Yield every live record, in the order of the ring."""
    for _, lines in groupby(all_lines(client, cql.LIST_IMAGES), key=lambda line: line[0]):
        record = record_of(list(lines))
        if record is not None:
            yield record


def sample_rows(client: CassandraClient, count: int) -> list[int]:
    """Return so many live rows, or all there are, from pieces of the ring of equal length.

    The ring's order is that of a hash of the rows, so that a run of it is a fair sample.
    """
    width = (1 << 64) // SAMPLE_PIECES
    edges = [min(-(1 << 63) + width * at, (1 << 63) - 1) for at in range(SAMPLE_PIECES + 1)]
    calls = [Call(cql.SAMPLE_STATES, (low, high)) for low, high in pairwise(edges)]
    found: list[int] = []
    pieces = client.streams(calls)
    while pieces and len(found) < count:
        share = -(-(count - len(found)) // len(pieces))
        pieces = [piece for piece in pieces if _take_live(piece, share, found)]
    return sorted(found[:count])


def _take_live(lines: Iterator[Line], share: int, found: list[int]) -> bool:
    """Take live rows of a piece of the ring; False when it holds no more."""
    for row, is_live in lines:
        if is_live:
            found.append(row)
            share -= 1
            if not share:
                return True
    return False


def failures(client: CassandraClient, *, is_newest_first: bool, together: int) -> Iterator[Failure]:
    """Yield the failures that are the last word on their uris, by the time they were put.

    So many of their uris are asked at once.
    """
    statement = cql.READ_FAILURES if is_newest_first else cql.READ_FAILURES_BACK
    sign = -1 if is_newest_first else 1
    parts = [unpack_pair(line[0]) for line in client.run(cql.READ_PARTS, FAILURES, b"", b"\xff")]
    days = {day: [shard for at, shard in parts if at == day] for day, _ in parts}
    for day in sorted(days, reverse=is_newest_first):
        pieces = client.streams([Call(statement, (day, shard)) for shard in days[day]])
        lines = heapq.merge(*pieces, key=lambda line: sign * line[0])
        while some := list(islice(lines, together)):
            yield from _standing(client, some)


def _standing(client: CassandraClient, lines: Sequence[Line]) -> Iterator[Failure]:
    found = client.wave([Call(cql.READ_URI, (line[1],)) for line in lines])
    for (number, _, uri, *texts, seen), of in zip(lines, found, strict=True):
        if of and of[0][4] is not None and of[0][6] == number:
            reason, detail, fingerprint = map(unpack_key, texts)
            yield Failure(unpack_key(uri), reason, detail, fingerprint, seen)


@dataclass(slots=True)
class Recount:
    """What a recount has mended: counts that were off, and changes that were never logged."""

    corrections: dict[str, int] = field(default_factory=dict[str, int])
    logged: int = 0


def recount(client: CassandraClient, writer: CatalogWriter, *, abandoned_before: float) -> Recount:
    """Mend copy groups, count all anew, log what commits that were cut short may have changed.

    Counts are exact when nobody writes meanwhile. Marks that are younger than `abandoned_before`
    (seconds since the epoch) may be of commits under way and are left alone.
    """
    done = Recount()
    groups = (group for (group,) in all_lines(client, cql.LIST_COPY_GROUPS))
    while some := list(islice(groups, GROUPS_TOGETHER)):
        writer.mend_groups(odd_groups(client, some))
    before = tallies(client)
    truth = _counted(client)
    for name in sorted({*before, *truth}):
        off = truth[name] - before[name]
        if off:
            label = name[1].decode("utf-8", "replace")
            done.corrections[label if name[0] == ALL else f"{name[0]} {label}"] = off
    writer.count({name: truth[name] - before[name] for name in {*before, *truth}})
    marks = [
        mark
        for mark in client.run(cql.READ_OPEN)
        if mark[0] == writer.name or mark[1] < abandoned_before
    ]
    rows = list(dict.fromkeys(row for _, _, rows in marks for row in rows or ()))
    states = client.wave([Call(cql.READ_IS_LIVE, (row,)) for row in rows])
    changes = {row: (not is_live, key) for lines in states for row, key, is_live in lines}
    if changes:
        writer.log(changes)
        done.logged = len(changes)
    client.wave([Call(cql.DROP_OPEN, (mark[0],)) for mark in marks])
    writer.is_mended()
    return done


def tallies(client: CassandraClient) -> _Counts:
    """Return the counters as they stand."""
    found = client.wave([Call(cql.READ_TALLIES, (owner,)) for owner in (ALL, REASONS)])
    return Counter(
        {
            (owner, line[0]): line[1]
            for owner, lines in zip((ALL, REASONS), found, strict=True)
            for line in lines
        }
    )


def _counted(client: CassandraClient) -> _Counts:
    truth: _Counts = Counter()
    for _, lines in groupby(all_lines(client, cql.LIST_COUNTS), key=lambda line: line[0]):
        for at, (_, is_live, key, is_vanished, group, is_canonical) in enumerate(lines):
            if at == 0:
                truth[ALL, COPIES] += group is not None
                truth[ALL, COPY_GROUPS] += bool(is_canonical)
                truth[ALL, b"images" if is_live else b"removed"] += 1
            truth[ALL, b"sources"] += key is not None and not is_vanished
    for (reason,) in all_lines(client, cql.LIST_REASONS):
        if reason is not None:
            truth[ALL, b"failures"] += 1
            truth[REASONS, reason] += 1
    return truth
