"""The catalog in one SQLite file, in WAL mode: one writer, readers in any thread or process.

Every read borrows a connection of its own, so a reader waits for nobody; writes share one
connection under a lock. A commit returns once the write-ahead log is synced
(`synchronous = FULL`), and is then seen by the next call of every reader.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from lookalike.adapters.catalog_sqlite_copies import SqliteCopyLedger
from lookalike.adapters.catalog_sqlite_mapping import (
    FAILURE_COLUMNS,
    RECORD_COLUMNS,
    SOURCE_COLUMNS,
    failure_of,
    pack_site,
    record_of,
    source_of,
    unpack_text,
)
from lookalike.adapters.catalog_sqlite_schema import check_version, connect, migrate, store_errors
from lookalike.adapters.catalog_sqlite_writing import CatalogTransaction
from lookalike.adapters.catalog_values import pack_ids, pack_key, unpack_id, unpack_key
from lookalike.domain.errors import IndexMissingError, StoreError
from lookalike.domain.images import Row
from lookalike.ports.catalog import CatalogState, Change, SourceState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.adapters.catalog_sqlite_copies import CopyTransaction
    from lookalike.domain.arrays import RowArray
    from lookalike.domain.images import ImageId, ImageRecord, Source
    from lookalike.ports.catalog import Batch, Failure

CHUNK: Final = 500
"""Values bound in one statement; SQLite before 3.32 takes at most 999."""

_T = TypeVar("_T")


class SqliteCatalog:
    """`ports.catalog.Catalog` in one SQLite file."""

    def __init__(
        self, path: Path, *, writer: sqlite3.Connection | None, clock: Callable[[], float]
    ) -> None:
        self._path = path
        self._clock = clock
        self._writer = writer
        self._writing = threading.RLock()
        self._pooling = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False
        self.copies = SqliteCopyLedger(self._reading, self._regrouping)
        """`ports.copies.CopyLedger` over the same file."""

    @classmethod
    def open(cls, path: Path, *, is_writer: bool, clock: Callable[[], float]) -> SqliteCatalog:
        """Open a catalog; a writer makes it where there is none and brings it up to date.

        The caller holds the index's writer lock. `clock` gives seconds since the epoch.
        """
        if not is_writer and not path.exists():
            raise IndexMissingError(f"there is no catalog at {path}", hint="index some pictures")
        with store_errors(path):
            connection = connect(path, is_writer=is_writer)
            try:
                if is_writer:
                    migrate(connection, path)
                else:
                    check_version(connection, path)
            except BaseException:
                connection.close()
                raise
        catalog = cls(path, writer=connection if is_writer else None, clock=clock)
        if not is_writer:
            catalog._idle.append(connection)
        return catalog

    def state(self) -> CatalogState:
        """Return where the catalog stands now: one row of one small table."""
        query = "SELECT seq, rows, images, sources, removed, failures, regions FROM state"
        with self._reading() as connection:
            return CatalogState(*connection.execute(query).fetchone())

    def commit(self, batch: Batch) -> int:
        """State a batch, at once or not at all, and return the seq reached.

        - A known image keeps its row and facts; its new row, and any row stated without an
          image, counts as removed, so that rows = images + removed always.
        - A known source of the same image takes over what the new sighting says and keeps the
          rest. A source of an image that is not live is passed over; of a blocked one, it
          becomes a failure.
        - A source or failure without a time was seen now.
        """
        with self._transaction() as transaction:
            transaction.apply(batch)
            return transaction.finish()

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool = False) -> Sequence[Row]:
        """Remove images with their sources and return their rows."""
        with self._transaction() as transaction:
            rows = transaction.remove(ids, is_blocked=is_blocked)
            transaction.finish()
        return rows

    def blocked(self, ids: Sequence[ImageId]) -> frozenset[ImageId]:
        """Return those of the ids that may not come back."""
        query = "SELECT id FROM blocked WHERE id IN ({marks})"
        return frozenset(unpack_id(row[0]) for row in self._select(query, pack_ids(ids)))

    def all_blocked(self) -> Iterator[ImageId]:
        """Yield every id that may not come back, in order."""
        query = "SELECT id FROM blocked WHERE id > ? ORDER BY id LIMIT ?"
        last = b""
        while keys := [row[0] for row in self._all(query, (last, CHUNK))]:
            yield from map(unpack_id, keys)
            last = keys[-1]

    def rows_of(self, ids: Sequence[ImageId]) -> Mapping[ImageId, Row]:
        """Return the rows of the live images among the ids."""
        query = "SELECT id, row FROM images WHERE id IN ({marks})"
        return {unpack_id(key): Row(row) for key, row in self._select(query, pack_ids(ids))}

    def records(self, rows: Sequence[int]) -> Sequence[ImageRecord | None]:
        """Return the records of the rows in their order, None where no live image is."""
        wanted = [int(row) for row in rows]
        found: dict[int, ImageRecord] = {}
        for chunk in _chunks(list(dict.fromkeys(wanted))):
            found.update(self._read_records(chunk))
        return [found.get(row) for row in wanted]

    def all_records(self, *, first_row: int = 0) -> Iterator[ImageRecord]:
        """Yield every live record from a row on, in row order; commits go on meanwhile."""
        query = "SELECT row FROM images WHERE row >= ? ORDER BY row LIMIT ?"
        while rows := [row[0] for row in self._all(query, (first_row, CHUNK))]:
            yield from (record for record in self.records(rows) if record is not None)
            first_row = rows[-1] + 1

    def sample_rows(self, count: int) -> Sequence[Row]:
        """Return at most so many live rows, spread evenly; the same ones while nothing changes."""
        total = self.state().rows
        chosen = range(total)
        if total > count:
            chosen = sorted(random.Random(0).sample(range(total), count))  # noqa: S311 - no secret
        marks = "SELECT row FROM images WHERE row IN ({marks})"
        return sorted(Row(row) for (row,) in self._select(marks, list(chosen)))

    def ids_with_prefix(self, prefix: str, *, limit: int = 10) -> Sequence[ImageId]:
        """Return live images whose id begins with some hex digits, in order of their ids."""
        digits = prefix.lower()
        if len(digits) > 32 or digits.strip("0123456789abcdef"):
            return ()
        bounds = (bytes.fromhex(digits.ljust(32, "0")), bytes.fromhex(digits.ljust(32, "f")))
        query = "SELECT id FROM images WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
        return [unpack_id(row[0]) for row in self._all(query, (*bounds, max(limit, 0)))]

    def phashes(self) -> tuple[RowArray, NDArray[np.uint64], NDArray[np.float32]]:
        """Return rows, hashes and hash qualities of every live image, in row order."""
        values = self._all("SELECT row, phash, phash_quality FROM images ORDER BY row", ())
        rows = np.fromiter((value[0] for value in values), np.int64, len(values))
        hashes = np.fromiter((value[1] for value in values), np.int64, len(values))
        qualities = np.fromiter((value[2] for value in values), np.float32, len(values))
        return rows, hashes.view(np.uint64), qualities

    def source_states(self, uris: Sequence[str]) -> Mapping[str, SourceState]:
        """Return what is remembered of those of the uris that are known."""
        keys = [pack_key(uri) for uri in uris]
        sources = (
            "SELECT uri, fingerprint, id, is_vanished FROM sources JOIN images ON row = image"
            " WHERE uri IN ({marks})"
        )
        states: dict[str, SourceState] = {}
        for key, mark, image, is_vanished in self._select(sources, keys):
            uri = unpack_key(key)
            known = "" if is_vanished else unpack_text(mark)
            states[uri] = SourceState(uri, known, unpack_id(image))
        failures = "SELECT uri, fingerprint, reason FROM failures WHERE uri IN ({marks})"
        for key, mark, reason in self._select(failures, keys):
            uri = unpack_key(key)
            states[uri] = SourceState(uri, unpack_text(mark), None, unpack_text(reason))
        return states

    def uris_under(self, prefix: str, *, has_vanished: bool = False) -> Iterator[str]:
        """Yield the uris that begin with `prefix`, refused ones too, vanished ones on demand."""
        query = (
            "SELECT uri FROM sources WHERE uri >= ?1 AND uri < ?2 AND is_vanished <= ?4"
            " UNION ALL SELECT uri FROM failures WHERE uri >= ?1 AND uri < ?2"
            " ORDER BY uri LIMIT ?3"
        )
        low = pack_key(prefix)
        end = low + b"\xff"  # no encoded text holds this byte
        while keys := [row[0] for row in self._all(query, (low, end, CHUNK, has_vanished))]:
            yield from map(unpack_key, keys)
            low = keys[-1] + b"\0"

    def ids_of_site(self, site: str) -> Sequence[ImageId]:
        """Return the live images seen on a site or on a sub-domain of it."""
        key = pack_site(site)
        if not key:
            return ()
        query = (
            "SELECT id FROM images WHERE row IN (SELECT image FROM sources WHERE site <> x''"
            " AND site = ?1 UNION SELECT image FROM sources WHERE site <> x''"
            " AND site >= ?2 AND site < ?3) ORDER BY row"
        )
        return [unpack_id(row[0]) for row in self._all(query, (key, key + b".", key + b"/"))]

    def changes(self, *, after: int, limit: int = 10_000) -> Sequence[Change]:
        """Return the log after a seq, in order; only the last change of a row matters."""
        query = "SELECT seq, is_removal, row, id FROM log WHERE seq > ? ORDER BY seq LIMIT ?"
        return [
            Change(seq, "remove" if is_removal else "put", Row(row), unpack_id(key))
            for seq, is_removal, row, key in self._all(query, (after, limit))
        ]

    def failures(self, *, limit: int = 1000) -> Sequence[Failure]:
        """Return remembered failures, newest first."""
        query = f"SELECT {FAILURE_COLUMNS} FROM failures ORDER BY number DESC LIMIT ?"  # noqa: S608
        return [failure_of(values) for values in self._all(query, (limit,))]

    def all_failures(self) -> Iterator[Failure]:
        """Yield every remembered failure, the oldest first."""
        query = (
            f"SELECT number, {FAILURE_COLUMNS} FROM failures"  # noqa: S608
            " WHERE number > ? ORDER BY number LIMIT ?"
        )
        last = 0
        while found := self._all(query, (last, CHUNK)):
            yield from (failure_of(values) for _, *values in found)
            last = found[-1][0]

    def failure_counts(self) -> Mapping[str, int]:
        """Return how many sources are refused under each reason."""
        query = "SELECT reason, count(*) FROM failures GROUP BY reason ORDER BY reason"
        return {unpack_text(reason): count for reason, count in self._all(query, ())}

    def removed_rows(self) -> Sequence[int]:
        """Return every row that is removed, in order."""
        return [row[0] for row in self._all("SELECT row FROM removed ORDER BY row", ())]

    def close(self) -> None:
        """Close every connection; the writer's, last, empties the write-ahead log."""
        with self._pooling:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _read_records(self, rows: Sequence[int]) -> dict[int, ImageRecord]:
        """Return the live records among at most `CHUNK` rows, as one moment saw them."""
        marks = _marks(rows)
        images = f"SELECT {RECORD_COLUMNS} FROM images WHERE row IN ({marks})"  # noqa: S608
        sources = (
            f"SELECT image, {SOURCE_COLUMNS} FROM sources"  # noqa: S608
            f" WHERE image IN ({marks}) ORDER BY number"
        )
        with self._reading() as connection:
            connection.execute("BEGIN")
            found = connection.execute(images, rows).fetchall()
            places = connection.execute(sources, rows).fetchall()
        by_row: dict[int, list[Source]] = {}
        for row, *values in places:
            by_row.setdefault(row, []).append(source_of(values))
        return {values[0]: record_of(values, by_row.get(values[0], ())) for values in found}

    def _select(self, query: str, keys: Sequence[bytes | int]) -> Iterator[tuple[Any, ...]]:
        """Run a query with `{marks}` over any number of keys."""
        for chunk in _chunks(keys):
            yield from self._all(query.format(marks=_marks(chunk)), chunk)

    def _all(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._reading() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        """Lend an idle connection, or a new one when all are lent."""
        with self._pooling:
            if self._is_closed:
                raise _closed(self._path)
            connection = self._idle.pop() if self._idle else None
        with store_errors(self._path):
            connection = connection or connect(self._path, is_writer=False)
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._pooling:
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _transaction(self) -> Generator[CatalogTransaction]:
        """Hold the one write transaction; whatever is raised inside leaves nothing behind."""
        with self._writing, store_errors(self._path):
            connection = self._writer
            if connection is None:
                raise _closed(self._path) if self._is_closed else _read_only(self._path)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield CatalogTransaction(connection, self._clock())
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _regrouping(self) -> Generator[CopyTransaction]:
        with self._transaction() as transaction:
            yield transaction.copies


def _chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (values[at : at + CHUNK] for at in range(0, len(values), CHUNK))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _closed(path: Path) -> StoreError:
    return StoreError(f"{path} is closed", hint="open the index again")


def _read_only(path: Path) -> StoreError:
    return StoreError(f"{path} was opened for reading", hint="open the index for writing")
