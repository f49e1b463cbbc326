"""Pictures of web archives (WARC), joined with what the archived pages say of them.

Two passes over the archives: the first reads the pages, and notes which pictures there are; the
second takes the pictures. What pages say waits in a temporary SQLite file, so that memory stays
the same however large a crawl is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from lookalike.adapters.source_archives import archives_named, names_in
from lookalike.adapters.source_pages_html import MOST_PAGE_BYTES, read_page
from lookalike.adapters.source_pages_store import SightingStore
from lookalike.adapters.source_warc_records import Damage, RecordHead, WarcRecord, read_records
from lookalike.domain import reasons
from lookalike.domain.errors import SourceError
from lookalike.domain.pages import sources_of_sightings
from lookalike.domain.pages_addresses import resolve, robot_rules
from lookalike.domain.source_rows import parse_taken
from lookalike.domain.sources import (
    IMAGE_SUFFIXES,
    archive_uri,
    has_suffix,
    is_url,
    suffix_of,
    uri_of_path,
)
from lookalike.ports.source import SourceItem, error_item

if TYPE_CHECKING:
    import sqlite3

WARC_SUFFIXES: Final = (".warc", ".warc.gz")
MAX_IMAGE_BYTES: Final = 64 << 20

_PAGE_TYPES: Final = frozenset(("text/html", "application/xhtml+xml"))
_UNTOLD_TYPES: Final = frozenset(
    ("", "application/octet-stream", "binary/octet-stream", "text/plain")
)
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_TABLES: Final = """
CREATE TABLE pictures (
    url TEXT PRIMARY KEY, archive INTEGER, number INTEGER, date TEXT, digest TEXT
) WITHOUT ROWID;
CREATE TABLE again (
    url TEXT PRIMARY KEY, digest TEXT, date TEXT, is_found INTEGER DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX again_of ON again (digest);
"""
_NOTE: Final = """
INSERT INTO pictures VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (url) DO UPDATE SET archive = ?2, number = ?3, date = ?4, digest = ?5
WHERE ?4 >= date
"""
_NOTE_AGAIN: Final = """
INSERT INTO again (url, digest, date) VALUES (?1, ?2, ?3)
ON CONFLICT (url) DO UPDATE SET digest = ?2, date = ?3 WHERE ?3 >= date
"""
_AGAIN: Final = """
SELECT url, date FROM again
WHERE digest = ? AND url NOT IN (SELECT url FROM pictures) ORDER BY url
"""
_LOST: Final = """
SELECT url FROM again
WHERE NOT is_found AND url NOT IN (SELECT url FROM pictures) ORDER BY url
"""


class WarcSource:
    """The pictures of one or several WARC files, of a folder of them or of a pattern.

    A picture's uri is its URL; of several captures of one URL the newest is taken. Pictures and
    the pages that mention them are joined across all the archives named together. A picture
    that was seen on pages of several sites comes once for each (`domain.pages`). What is damaged
    gives one error item with the archive's uri.

    Raises, from `items`:
        SourceError: there is no archive at all.
        MissingExtraError: fastwarc is not installed.
    """

    def __init__(self, *archives: str | Path, is_opt_out_honoured: bool = True) -> None:
        self._names = [os.fspath(archive) for archive in archives]
        self._is_honouring = is_opt_out_honoured
        self.skipped: Counter[str] = Counter()
        """What the pages show that is no picture of content, counted by cause."""

    @classmethod
    def accepts(cls, text: str) -> bool:
        """Tell whether the text names WARC files, or a folder that holds them and no pictures."""
        if is_url(text):
            return False
        path = os.path.expanduser(text)
        if not os.path.isdir(path):
            return has_suffix(text, WARC_SUFFIXES)
        names = names_in(path)
        has_pictures = any(suffix_of(name) in IMAGE_SUFFIXES for name in names)
        return not has_pictures and any(has_suffix(name, WARC_SUFFIXES) for name in names)

    @property
    def name(self) -> str:
        """What the user named."""
        return " ".join(self._names)

    @property
    def prefix(self) -> str | None:
        """None: archives come and go one by one."""
        return None

    def count(self) -> int | None:
        """Return None: records are only known once read."""
        return None

    def items(self) -> Iterator[SourceItem]:
        """Yield the pictures archive by archive, in the order of their records."""
        archives = list(
            dict.fromkeys(
                path for name in self._names for path in archives_named(name, WARC_SUFFIXES)
            )
        )
        if not archives:
            raise SourceError(
                f"there is no WARC file in {self.name}",
                hint="name a .warc or .warc.gz, a folder of them or a pattern",
            )
        self.skipped = Counter()
        with (
            tempfile.TemporaryDirectory(prefix="lookalike-warc-") as folder,
            closing(SightingStore.temporary(Path(folder))) as store,
        ):
            store.connection.executescript(_TABLES)
            pages = _Pages(store, self.skipped, is_honouring=self._is_honouring)
            for number, archive in enumerate(archives):
                yield from pages.read(number, archive)
            yield from self._pictures(archives, store)

    def _pictures(self, archives: Sequence[str], store: SightingStore) -> Iterator[SourceItem]:
        connection = store.connection
        for number, archive in enumerate(archives):
            rows = connection.execute("SELECT number FROM pictures WHERE archive = ?", (number,))
            wanted = {place for (place,) in rows}
            if not wanted:
                continue
            try:
                file = _opened(archive)
            except OSError as error:  # it was there for the first pass
                yield error_item(uri_of_path(archive), reasons.VANISHED, str(error.strerror))
                continue
            with file:
                yield from self._pictures_of(archive, file, wanted, store)
        for (url,) in connection.execute(_LOST).fetchall():
            if suffix_of(url.partition("?")[0]) in IMAGE_SUFFIXES:
                detail = "a revisit whose first capture is in none of the archives"
                yield error_item(url, reasons.BAD_RECORD, detail)

    def _pictures_of(
        self, archive: str, file: IO[bytes], wanted: Collection[int], store: SightingStore
    ) -> Iterator[SourceItem]:
        def wants(number: int, _: RecordHead) -> bool:
            return number in wanted

        for record in read_records(file, wants, max_bytes=MAX_IMAGE_BYTES):
            if isinstance(record, WarcRecord) and record.number in wanted:
                yield from self._picture_items(archive, record, store)

    def _picture_items(
        self, archive: str, record: WarcRecord, store: SightingStore
    ) -> Iterator[SourceItem]:
        """Yield a picture under its own URL and under those that a revisit gives it."""
        head = record.head
        yield from self._items_of(address_of(head, archive), head.date, record, store)
        if not head.digest:
            return
        for url, date in store.connection.execute(_AGAIN, (head.digest,)).fetchall():
            yield from self._items_of(url, date, record, store)
        update = "UPDATE again SET is_found = 1 WHERE digest = ?"
        store.connection.execute(update, (head.digest,))

    def _items_of(
        self, url: str, date: str, record: WarcRecord, store: SightingStore
    ) -> Iterator[SourceItem]:
        sightings = store.sightings(url)
        is_asked = not robot_rules(record.head.robots).may_take_images
        if self._is_honouring and (is_asked or (not sightings and store.is_refused(url))):
            who = "its server" if is_asked else "every page that shows it"
            yield error_item(url, reasons.OPTED_OUT, f"{who} asks robots not to index it")
            return
        if not record.body:
            is_told = bool(record.error[0])
            error = record.error if is_told else (reasons.EMPTY, "the record holds no bytes")
            yield error_item(url, *error)
            return
        fingerprint = _fingerprint(record)
        for source in sources_of_sightings(url, sightings, fingerprint=fingerprint):
            seen = replace(source, seen=parse_taken(date) or 0.0)
            yield SourceItem(seen, "data", data=record.body)


class _Pages:
    """The first pass: pages are read; pictures, redirects and revisits are noted."""

    def __init__(self, store: SightingStore, skipped: Counter[str], *, is_honouring: bool) -> None:
        self._store = store
        self._skipped = skipped
        self._is_honouring = is_honouring

    def read(self, number: int, archive: str) -> Iterator[SourceItem]:
        """Read one archive; yields what cannot be read of it."""
        uri = uri_of_path(archive)
        try:
            file = _opened(archive)
        except FileNotFoundError:
            yield error_item(uri, reasons.VANISHED, "no such archive")
            return
        except OSError as error:
            yield error_item(uri, reasons.UNREADABLE, error.strerror or str(error))
            return
        with file:
            for record in read_records(file, _is_page, max_bytes=MOST_PAGE_BYTES):
                if isinstance(record, Damage):
                    yield error_item(uri, record.reason, record.detail)
                else:
                    self._take(number, archive, record)

    def _take(self, archive: int, path: str, record: WarcRecord) -> None:
        head, connection = record.head, self._store.connection
        url = address_of(head, path)
        if not url:
            self._skipped["bad-address"] += 1
        elif head.kind == "revisit":
            _note_revisit(connection, url, head)
        elif head.status in _REDIRECTS:
            self._store.add_redirect(url, resolve(url, head.location))
        elif _is_page(record.number, head):
            if record.body:
                page = read_page(record.body, url, charset=head.charset, headers=head.robots)
                self._skipped.update(page.skipped)
                self._store.add_page(page, is_opt_out_honoured=self._is_honouring)
            elif record.error[0]:
                self._skipped[f"page-{record.error[0]}"] += 1
        elif _is_picture(head):
            row = (url, archive, record.number, head.date, head.digest)
            connection.execute(_NOTE, row)


def address_of(head: RecordHead, archive: str) -> str:
    """Return the address of a record as pages would name it; what is no URL is a member."""
    return resolve(head.url, head.url) if is_url(head.url) else archive_uri(archive, head.url)


def _note_revisit(connection: sqlite3.Connection, url: str, head: RecordHead) -> None:
    """Remember that a URL had the bytes of another record, if it may be a picture's."""
    if head.digest and suffix_of(url.partition("?")[0]) in IMAGE_SUFFIXES | {""}:
        connection.execute(_NOTE_AGAIN, (url, head.digest, head.date))


def _is_page(_: int, head: RecordHead) -> bool:
    return head.kind != "revisit" and head.status == 200 and head.media in _PAGE_TYPES


def _is_picture(head: RecordHead) -> bool:
    if head.status != 200 or not head.url:
        return False
    if head.media.startswith("image/"):
        return True
    suffix = suffix_of(head.url.partition("?")[0])
    return head.media in _UNTOLD_TYPES and suffix in IMAGE_SUFFIXES


def _fingerprint(record: WarcRecord) -> str:
    """Return what tells this capture's bytes: the archive's digest, or one made here."""
    known = record.head.digest.encode() or record.body
    return hashlib.blake2b(known, digest_size=12).hexdigest()


def _opened(path: str) -> IO[bytes]:
    return open(path, "rb")
