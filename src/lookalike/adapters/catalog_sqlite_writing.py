"""What one commit does to the catalog's tables, step by step, inside one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.catalog_sqlite_copies import CopyTransaction
from lookalike.adapters.catalog_sqlite_mapping import (
    IMAGE_COLUMNS,
    READING_COLUMNS,
    RECORD_COLUMNS,
    SOURCE_COLUMNS,
    image_values,
    pack_text,
    record_of,
    source_of,
    source_values,
)
from lookalike.adapters.catalog_values import new_of, pack_id, pack_key, read_anew, require_id
from lookalike.domain.errors import StoreError
from lookalike.domain.images import Row, merged_source
from lookalike.domain.reasons import BLOCKED
from lookalike.ports.catalog import Failure

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from lookalike.domain.images import ImageId, Source
    from lookalike.ports.catalog import Batch, NewImage, Reading

_NO_ID: Final = bytes(16)
"""Logged for a row that was written but never became an image's."""


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" * (columns.count(",") + 1))
    return f"INSERT INTO {table}({columns}) VALUES ({marks})"  # noqa: S608 - constants


_INSERT_IMAGE: Final = _insert("images", IMAGE_COLUMNS)
_INSERT_SOURCE: Final = _insert("sources", f"{SOURCE_COLUMNS}, image")
_UPDATE_SOURCE: Final = (
    f"UPDATE sources SET ({SOURCE_COLUMNS}) = ({', '.join('?' * 12)}) WHERE uri = ?"  # noqa: S608
)
_SELECT_RECORD: Final = f"SELECT {RECORD_COLUMNS} FROM images WHERE id = ?"  # noqa: S608
_UPDATE_READING: Final = (
    f"UPDATE images SET ({READING_COLUMNS}) ="  # noqa: S608
    f" ({', '.join('?' * (READING_COLUMNS.count(',') + 1))}) WHERE row = ?"
)
_READ: Final = slice(2, -2)
"""Where `READING_COLUMNS` stand among `IMAGE_COLUMNS`."""

_SELECT_SOURCE: Final = f"SELECT image, {SOURCE_COLUMNS} FROM sources WHERE uri = ?"  # noqa: S608


class CatalogTransaction:
    """The steps of one commit; the caller begins and ends the SQLite transaction.

    Counts are carried along and stated once by `finish`, so that no reader ever counts rows.
    """

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._execute = connection.execute
        self._now = now
        self.copies = CopyTransaction(connection)
        state = self._execute(
            "SELECT seq, rows, images, sources, removed, failures FROM state"
        ).fetchone()
        self._seq, self._rows, self._images, self._sources, self._removed, self._failures = state
        self._fresh: set[int] = set()
        self._touched: dict[int, tuple[bool, bytes]] = {}

    def apply(self, batch: Batch) -> None:
        """State images, sources, failures, what vanished or is forgotten, then readings."""
        first = self._rows
        written = {int(image.row): pack_id(image.facts.id) for image in batch.images}
        rows = max([first, *(row + 1 for row in written)])
        if batch.rows is not None and batch.rows < rows:
            raise StoreError(
                f"a commit states {batch.rows} rows, but {rows} are in use",
                hint="another writer was here; open the index again",
            )
        for image in batch.images:
            self._put_image(image)
        for image_id, source in batch.sources:
            self._put_source(require_id(image_id), source)
        for failure in batch.failures:
            self._put_failure(failure)
        for uri in batch.vanished:
            self._vanish(pack_key(uri))
        for uri in batch.forgotten:
            self._forget(pack_key(uri))
        for reading in batch.readings:
            self._put_reading(reading)
        if batch.regions is not None:
            self._execute("UPDATE state SET regions = ?1 WHERE regions <> ?1", (batch.regions,))
        self._rows = rows if batch.rows is None else int(batch.rows)
        for row in range(first, self._rows):
            if row not in self._touched:
                self._drop_row(row, written.get(row) or _NO_ID)

    def remove(self, ids: Sequence[ImageId], *, is_blocked: bool) -> list[Row]:
        """Remove images and return their rows; unknown ones may still be blocked."""
        rows: list[Row] = []
        for key in filter(None, map(pack_id, ids)):
            if is_blocked:
                self._execute("INSERT OR IGNORE INTO blocked VALUES (?)", (key,))
            row = self._row_of(key)
            if row is not None:
                self._remove_image(row, key)
                rows.append(Row(row))
        return rows

    def finish(self) -> int:
        """Write the log and the counts and return the seq reached."""
        for row, (is_removal, key) in self._touched.items():
            self._seq += 1
            self._execute("INSERT INTO log VALUES (?, ?, ?, ?)", (self._seq, is_removal, row, key))
        counts = (self._images, self._sources, self._removed, self._failures)
        self._execute(
            "UPDATE state SET (seq, rows, images, sources, removed, failures) = (?, ?, ?, ?, ?, ?)"
            " WHERE (seq, rows, images, sources, removed, failures) IS NOT (?, ?, ?, ?, ?, ?)",
            (self._seq, self._rows, *counts) * 2,
        )
        return self._seq

    def _put_image(self, image: NewImage) -> None:
        key = require_id(image.facts.id)
        if self._is_blocked(key) or self._row_of(key) is not None:
            return
        if image.row < self._rows:
            raise StoreError(
                f"row {image.row} is in use already", hint="another writer was here; open it again"
            )
        self._execute(_INSERT_IMAGE, image_values(image, key, self._now))
        self._images += 1
        if image.first_seen is None:
            self._fresh.add(int(image.row))
        self._touch(int(image.row), key)

    def _put_reading(self, reading: Reading) -> None:
        """Replace what models and the file say of an image; an unknown one is passed over."""
        found = self._execute(_SELECT_RECORD, (require_id(reading.image),)).fetchone()
        if found is None:
            return
        row, key, stored = found[0], found[1], found[:-1]
        values = image_values(read_anew(new_of(record_of(found, ())), reading), key, self._now)
        if values[_READ] != stored[_READ]:
            self._execute(_UPDATE_READING, (*values[_READ], row))
            self._touch(row, key)

    def _put_source(self, key: bytes, source: Source) -> None:
        uri = pack_key(source.uri)
        row = self._row_of(key)
        known = self._execute(_SELECT_SOURCE, (uri,)).fetchone()
        if known and known[0] != row:
            self._drop_source(uri, known)
            known = None
        if row is None:
            if self._is_blocked(key):
                self._put_failure(Failure(source.uri, BLOCKED, fingerprint=source.fingerprint))
            return
        self._forget_failure(uri)
        seen = float(source.seen) or self._now
        if known:
            self._merge_source(row, key, source_of(known[1:]), replace(source, seen=seen))
        else:
            self._execute(_INSERT_SOURCE, (*source_values(source, seen), row))
            self._sources += not source.is_vanished
            self._touch(row, key)
        self._widen(row, key, seen)

    def _merge_source(self, row: int, key: bytes, old: Source, new: Source) -> None:
        merged = merged_source(old, new)
        if merged == old:
            return
        uri = pack_key(old.uri)
        self._execute(_UPDATE_SOURCE, (*source_values(merged, merged.seen), uri))
        self._sources += int(old.is_vanished) - int(merged.is_vanished)
        if replace(merged, seen=old.seen, fingerprint=old.fingerprint) != old:
            self._touch(row, key)

    def _widen(self, row: int, key: bytes, seen: float) -> None:
        """Take a sighting into the image's first and last ones."""
        if row in self._fresh:
            self._fresh.discard(row)
            self._execute(
                "UPDATE images SET first_seen = ?1, last_seen = ?1 WHERE row = ?2", (seen, row)
            )
            return
        self._execute(
            "UPDATE images SET last_seen = ?1 WHERE row = ?2 AND last_seen < ?1", (seen, row)
        )
        earlier = self._execute(
            "UPDATE images SET first_seen = ?1 WHERE row = ?2 AND first_seen > ?1", (seen, row)
        )
        if earlier.rowcount:
            self._touch(row, key)

    def _put_failure(self, failure: Failure) -> None:
        uri = pack_key(failure.uri)
        known = self._execute(_SELECT_SOURCE, (uri,)).fetchone()
        if known:
            self._drop_source(uri, known)
        self._forget_failure(uri)
        self._execute(
            "INSERT INTO failures(uri, reason, detail, fingerprint, seen) VALUES (?, ?, ?, ?, ?)",
            (
                uri,
                pack_text(failure.reason),
                pack_text(failure.detail),
                pack_text(failure.fingerprint),
                float(failure.seen) or self._now,
            ),
        )
        self._failures += 1

    def _forget_failure(self, uri: bytes) -> None:
        self._failures -= self._execute("DELETE FROM failures WHERE uri = ?", (uri,)).rowcount

    def _vanish(self, uri: bytes) -> None:
        self._forget_failure(uri)
        marked = self._execute(
            "UPDATE sources SET is_vanished = 1 WHERE uri = ? AND is_vanished = 0", (uri,)
        )
        if marked.rowcount:
            self._sources -= 1
            row, key = self._execute(
                "SELECT row, id FROM images WHERE row = (SELECT image FROM sources WHERE uri = ?)",
                (uri,),
            ).fetchone()
            self._touch(row, key)

    def _forget(self, uri: bytes) -> None:
        self._forget_failure(uri)
        known = self._execute(_SELECT_SOURCE, (uri,)).fetchone()
        if known:
            self._drop_source(uri, known)

    def _drop_source(self, uri: bytes, known: tuple[Any, ...]) -> None:
        """Take a source from its image, which goes with its last one."""
        row, is_vanished = known[0], known[-1]
        key = self._execute("SELECT id FROM images WHERE row = ?", (row,)).fetchone()[0]
        self._execute("DELETE FROM sources WHERE uri = ?", (uri,))
        self._sources -= not is_vanished
        left = self._execute("SELECT 1 FROM sources WHERE image = ? LIMIT 1", (row,)).fetchone()
        if left:
            self._touch(row, key)
        else:
            self._remove_image(row, key)

    def _remove_image(self, row: int, key: bytes) -> None:
        alive = self._execute(
            "SELECT count(*) FROM sources WHERE image = ? AND is_vanished = 0", (row,)
        ).fetchone()[0]
        self.copies.leave(row)
        self._execute("DELETE FROM sources WHERE image = ?", (row,))
        self._execute("DELETE FROM images WHERE row = ?", (row,))
        self._sources -= alive
        self._images -= 1
        self._drop_row(row, key)

    def _drop_row(self, row: int, key: bytes) -> None:
        self._execute("INSERT INTO removed VALUES (?)", (row,))
        self._removed += 1
        self._touch(row, key, is_removal=True)

    def _touch(self, row: int, key: bytes, *, is_removal: bool = False) -> None:
        self._touched[row] = (is_removal, key)

    def _row_of(self, key: bytes) -> int | None:
        found = self._execute("SELECT row FROM images WHERE id = ?", (key,)).fetchone()
        return None if found is None else int(found[0])

    def _is_blocked(self, key: bytes) -> bool:
        return bool(self._execute("SELECT 1 FROM blocked WHERE id = ?", (key,)).fetchone())
