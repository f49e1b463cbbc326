"""The catalog in a Cassandra keyspace: any number of writers and readers, in any process.

See `catalog_cassandra_schema` for the tables, `catalog_cassandra_carrying` for the order of a
commit and docs/adr/0012-catalog-on-cassandra.md for why it is so.
"""

from __future__ import annotations

import heapq
import time
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np

from lookalike.adapters import catalog_cassandra_schema as cql
from lookalike.adapters.catalog_cassandra_carrying import ALL, REASONS
from lookalike.adapters.catalog_cassandra_client import Call, CassandraClient
from lookalike.adapters.catalog_cassandra_copies import CassandraCopyLedger
from lookalike.adapters.catalog_cassandra_derived import IDS, SITE
from lookalike.adapters.catalog_cassandra_errors import INIT_HINT
from lookalike.adapters.catalog_cassandra_listing import (
    Recount,
    all_lines,
    all_records,
    failures,
    recount,
    sample_rows,
)
from lookalike.adapters.catalog_cassandra_mapping import (
    BLOCKED_PARTS,
    BUCKET_MICROS,
    HEAD_BYTES,
    id_prefix,
    pack_number,
    record_of,
    site_key,
    unpack_number,
    unpack_pair,
    uri_key,
)
from lookalike.adapters.catalog_cassandra_writing import LOG, CatalogWriter, Ticker
from lookalike.adapters.catalog_values import pack_ids, pack_key, unpack_id, unpack_key
from lookalike.domain.errors import BackendMissingError, BackendSchemaError, StoreError
from lookalike.domain.images import Row
from lookalike.ports.catalog import CatalogState, Change, SourceState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.adapters.catalog_cassandra_client import Line
    from lookalike.adapters.catalog_cassandra_options import CassandraOptions
    from lookalike.domain.arrays import RowArray
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.ports.catalog import Batch, Failure

CHUNK: Final = 512
"""Partitions read at once, where many are."""

PARTS_TOGETHER: Final = 16
REMOVED_TOGETHER: Final = 64
ABANDONED_S: Final = 600.0
"""A commit that has been open for so long is taken for one whose process has ended."""

_LOWEST: Final = b""
_HIGHEST: Final = b"\xff" * 32

_T = TypeVar("_T")


class CassandraCatalog:
    """`ports.catalog.Catalog` in one Cassandra keyspace."""

    def __init__(
        self,
        client: CassandraClient,
        *,
        writer: CatalogWriter | None,
        uri_parts: int,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._writer = writer
        self._uri_parts = uri_parts
        self._clock = clock
        self.copies = CassandraCopyLedger(client, self._require_writer)
        """`ports.copies.CopyLedger` in the same keyspace."""

    @classmethod
    def open(
        cls,
        options: CassandraOptions,
        *,
        is_writer: bool = True,
        clock: Callable[[], float] = time.time,
        micros: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> CassandraCatalog:
        """Connect to a catalog that `CassandraProvisioner` has made.

        `clock` gives the seconds of sightings that name none, `micros` the numbers that order
        writes; among writers they should agree to within a second.

        Raises:
            BackendMissingError: nothing was made there yet.
            BackendSchemaError: the keyspace is another's, or another version's.
            BackendError: it cannot be reached, or refuses.
        """
        client = CassandraClient.connect(options)
        try:
            about = read_about(client)
        except BaseException:
            client.close()
            raise
        uri_parts = about[cql.URI_PARTS_NAME]
        writer = None
        if is_writer:
            writer = CatalogWriter(client, clock=clock, ticker=Ticker(micros), uri_parts=uri_parts)
        return cls(client, writer=writer, uri_parts=uri_parts, clock=clock)

    def state(self) -> CatalogState:
        """Return where the catalog stands: a handful of counters and one number.

        `regions` is 0: nothing is appended to files here.

        Counts are exact unless a write's outcome stayed unknown or a writer was killed within a
        commit; then `recount` mends them.
        """
        lines, seq = self._client.wave(
            [Call(cql.READ_TALLIES, (ALL,)), Call(cql.READ_ABOUT, (cql.SEQ_NAME,))]
        )
        counts = {line[0]: line[1] for line in lines}
        images, removed = counts.get(b"images", 0), counts.get(b"removed", 0)
        return CatalogState(
            seq=seq[0][1] if seq else 0,
            rows=images + removed,
            images=images,
            sources=counts.get(b"sources", 0),
            removed=removed,
            failures=counts.get(b"failures", 0),
        )

    def commit(self, batch: Batch) -> int:
        """State a batch and return the seq reached; see `SqliteCatalog.commit` for the rules.

        An image is changed at once or not at all, a batch is not: readers may see some of its
        images before others, and of a commit that fails some may stay. The same commit again
        then does the rest, from this process or another.

        - A removed image that comes back takes its row again.
        - An image whose hashed row is another's is left out; its sources become failures.
        """
        return self._require_writer().commit(batch)

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool = False) -> Sequence[Row]:
        """Remove images with their sources and return their rows."""
        writer, keys = self._require_writer(), list(dict.fromkeys(pack_ids(ids)))
        return [
            Row(row)
            for chunk in _chunks(keys, REMOVED_TOGETHER)
            for row in writer.remove(chunk, is_blocked=is_blocked)
        ]

    def recount(self) -> Recount:
        """Count everything anew and log what interrupted commits may have changed.

        Lists every image and uri; counts are exact when nobody writes meanwhile.
        """
        before = self._clock() - ABANDONED_S
        return recount(self._client, self._require_writer(), abandoned_before=before)

    def blocked(self, ids: Sequence[ImageId]) -> frozenset[ImageId]:
        """Return those of the ids that may not come back."""
        return frozenset(unpack_id(key) for key, _, is_blocked in self._ids(ids) if is_blocked)

    def all_blocked(self) -> Iterator[ImageId]:
        """Yield every id that may not come back, in order."""
        for chunk in _chunks(range(BLOCKED_PARTS), PARTS_TOGETHER):
            for lines in self._client.streams([Call(cql.READ_BLOCKED, (part,)) for part in chunk]):
                yield from (unpack_id(key) for (key,) in lines)

    def rows_of(self, ids: Sequence[ImageId]) -> Mapping[ImageId, Row]:
        """Return the rows of the live images among the ids."""
        return {unpack_id(key): Row(row) for key, row, _ in self._ids(ids) if row is not None}

    def records(self, rows: Sequence[int]) -> Sequence[ImageRecord | None]:
        """Return the records of the rows in their order, None where no live image is."""
        wanted = [int(row) for row in rows]
        found: dict[int, ImageRecord | None] = {}
        for chunk in _chunks(list(dict.fromkeys(wanted)), CHUNK):
            lines = self._client.wave([Call(cql.READ_IMAGE, (row,)) for row in chunk])
            found |= {row: record_of(of) for row, of in zip(chunk, lines, strict=True)}
        return [found[row] for row in wanted]

    def all_records(self, *, first_row: int = 0) -> Iterator[ImageRecord]:
        """Yield every live record from a row on, in the order of the ring."""
        self._client.require_open()
        return (one for one in all_records(self._client) if one.row >= first_row)

    def sample_rows(self, count: int) -> Sequence[Row]:
        """Return at most so many live rows, spread evenly; the same ones while nothing changes."""
        return [Row(row) for row in sample_rows(self._client, count)]

    def ids_with_prefix(self, prefix: str, *, limit: int = 10) -> Sequence[ImageId]:
        """Return live images whose id begins with some hex digits, in order of their ids."""
        digits = prefix.lower()
        if len(digits) > 32 or digits.strip("0123456789abcdef"):
            return ()
        low, high = bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f"))
        parts = [id_prefix(low)]
        if id_prefix(low) != id_prefix(high):
            parts = self._parts(IDS, id_prefix(low), id_prefix(high))
        found: list[ImageId] = []
        for chunk in _chunks(parts, min(CHUNK, max(limit, 1))):
            calls = [Call(cql.READ_IDS, (part, low, high)) for part in chunk]
            for lines in self._client.streams(calls):
                for key, row in lines:
                    if len(found) >= limit:
                        return found
                    if row is not None:
                        found.append(unpack_id(key))
        return found

    def phashes(self) -> tuple[RowArray, NDArray[np.uint64], NDArray[np.float32]]:
        """Return rows, hashes and hash qualities of every live image, in row order."""
        found = [
            (row, phash, quality)
            for row, is_live, phash, quality in all_lines(self._client, cql.LIST_STATES)
            if is_live
        ]
        found.sort(key=itemgetter(0))
        rows = np.fromiter((one[0] for one in found), np.int64, len(found))
        hashes = np.fromiter((one[1] for one in found), np.int64, len(found))
        qualities = np.fromiter((one[2] for one in found), np.float32, len(found))
        return rows, hashes.view(np.uint64), qualities

    def source_states(self, uris: Sequence[str]) -> Mapping[str, SourceState]:
        """Return what is remembered of those of the uris that are known.

        A uri that still leads to an image which was removed meanwhile is not known.
        """
        states: dict[str, SourceState] = {}
        for chunk in _chunks(list(dict.fromkeys(uris)), CHUNK):
            states |= self._states(chunk)
        return states

    def uris_under(self, prefix: str, *, has_vanished: bool = False) -> Iterator[str]:
        """Yield the uris that begin with `prefix`, refused ones too, vanished ones on demand."""
        key = pack_key(prefix)
        low = key[:HEAD_BYTES]
        calls = [
            Call(cql.READ_URIS, (part, low, low + b"\xff"))  # no encoded text holds this byte
            for part in range(self._uri_parts)
        ]
        pieces = [
            (
                (whole or head)
                for head, whole, is_vanished in lines
                if not is_vanished or has_vanished
            )
            for lines in self._client.streams(calls)
        ]
        return (unpack_key(uri) for uri in heapq.merge(*pieces) if uri.startswith(key))

    def ids_of_site(self, site: str) -> Sequence[ImageId]:
        """Return the live images seen on a site or on a sub-domain of it, by row.

        The listing by site says where to look; the images themselves say whether it holds.
        """
        if not site:
            return ()
        key = site_key(site)
        rows: dict[int, None] = {}
        for chunk in _chunks(self._parts(SITE + key), CHUNK):
            calls = [Call(cql.READ_SITE, (key, *unpack_pair(part))) for part in chunk]
            rows |= {line[0]: None for lines in self._client.wave(calls) for line in lines}
        found: dict[int, ImageId] = {}
        end, same = pack_key("." + site), pack_key(site)
        for chunk in _chunks(list(rows), CHUNK):
            for lines in self._client.wave([Call(cql.READ_SITES, (row,)) for row in chunk]):
                for row, id_, is_live, seen in lines:
                    if is_live and seen and (seen == same or seen.endswith(end)):
                        found[row] = unpack_id(id_)
        return [found[row] for row in sorted(found)]

    def changes(self, *, after: int, limit: int = 10_000) -> Sequence[Change]:
        """Return the log after a seq, in order, as far back as it is kept.

        A writer whose commit took longer than another's may log it below a seq that was read
        already: who follows several writers reads some seconds again.
        """
        found: list[Change] = []
        if limit <= 0:
            return found
        low = pack_number(max(after, 0) // BUCKET_MICROS)
        for part in self._parts(LOG, low):
            call = Call(cql.READ_CHANGES, (unpack_number(part), after))
            for seq, row, is_removal, key in self._client.streams([call])[0]:
                if len(found) >= limit and found[-1].seq != seq:
                    return found
                op = "remove" if is_removal else "put"
                found.append(Change(seq, op, Row(row), unpack_id(key)))
        return found

    def failures(self, *, limit: int = 1000) -> Sequence[Failure]:
        """Return remembered failures, newest first."""
        newest = failures(self._client, is_newest_first=True, together=max(1, min(limit, CHUNK)))
        return list(islice(newest, max(limit, 0)))

    def all_failures(self) -> Iterator[Failure]:
        """Yield every remembered failure, the oldest first."""
        self._client.require_open()
        return failures(self._client, is_newest_first=False, together=CHUNK)

    def failure_counts(self) -> Mapping[str, int]:
        """Return how many sources are refused under each reason."""
        lines = self._client.run(cql.READ_TALLIES, REASONS)
        return {unpack_key(reason): count for reason, count in lines if count > 0}

    def removed_rows(self) -> Sequence[int]:
        """Return every row that is removed, in order."""
        return sorted(
            line[0] for line in all_lines(self._client, cql.LIST_STATES) if line[1] is False
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _states(self, uris: Sequence[str]) -> dict[str, SourceState]:
        lines = self._client.wave([Call(cql.READ_URI, (uri_key(pack_key(uri)),)) for uri in uris])
        found = {uri: of[0] for uri, of in zip(uris, lines, strict=True) if of}
        rows = list(dict.fromkeys(line[3] for line in found.values() if line[3] is not None))
        read = self._client.wave([Call(cql.READ_IS_LIVE, (row,)) for row in rows])
        live = {row: key for of in read for row, key, is_live in of if is_live}
        states: dict[str, SourceState] = {}
        for uri, (_, _, _, row, reason, mark, _, is_vanished, _) in found.items():
            if reason is not None:
                states[uri] = SourceState(uri, unpack_key(mark), None, unpack_key(reason))
            elif row in live:
                known = "" if is_vanished else unpack_key(mark)
                states[uri] = SourceState(uri, known, unpack_id(live[row]))
        return states

    def _ids(self, ids: Sequence[ImageId]) -> Iterator[Line]:
        for chunk in _chunks(list(dict.fromkeys(pack_ids(ids))), CHUNK):
            calls = [Call(cql.READ_ID, (id_prefix(key), key)) for key in chunk]
            for lines in self._client.wave(calls):
                yield from lines

    def _parts(self, owner: bytes, low: bytes = _LOWEST, high: bytes = _HIGHEST) -> list[bytes]:
        """Return the partitions of a table that hold something, in order."""
        return [line[0] for line in self._client.run(cql.READ_PARTS, owner, low, high)]

    def _require_writer(self) -> CatalogWriter:
        self._client.require_open()
        if self._writer is None:
            raise StoreError(
                f"{self._client.options.name} was opened for reading", hint="open it for writing"
            )
        return self._writer


def read_about(client: CassandraClient) -> dict[str, int]:
    """Return what the keyspace says of itself.

    Raises:
        BackendMissingError: nothing was made there yet.
        BackendSchemaError: it is another's, or another version's.
    """
    names = (cql.SCHEMA_NAME, cql.URI_PARTS_NAME)
    found = client.wave([Call(cql.READ_ABOUT, (name,)) for name in names])
    about = {line[0]: line for lines in found for line in lines}
    backend = client.options.name
    if set(about) != set(names):
        raise BackendMissingError(backend, "the catalog was not made there yet", hint=INIT_HINT)
    _, version, words = about[cql.SCHEMA_NAME]
    if words != cql.MARK:
        raise BackendSchemaError(
            backend, "the keyspace holds tables of something else", hint="choose another keyspace"
        )
    if version != cql.VERSION:
        raise BackendSchemaError(
            backend,
            f"its schema has version {version}; this one speaks {cql.VERSION}",
            hint="upgrade Lookalike" if version > cql.VERSION else INIT_HINT,
        )
    return {name: int(line[1]) for name, line in about.items()}


def _chunks(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (values[at : at + size] for at in range(0, len(values), size))
