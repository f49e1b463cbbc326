"""What pages said of pictures, kept in a SQLite file until the pictures themselves are met."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from lookalike.domain.pages import MOST_PAGES, MOST_SITES, Page, Sighting

if TYPE_CHECKING:
    from pathlib import Path

MOST_SIGHTINGS: Final = MOST_PAGES * MOST_SITES
"""Sightings kept of one picture: a logo is on every page of a site."""

_MOST_REDIRECTS: Final = 32
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sightings (url TEXT NOT NULL, said TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS sightings_of ON sightings (url);
CREATE TABLE IF NOT EXISTS refusals (url TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS redirects (
    target TEXT, source TEXT, PRIMARY KEY (target, source)
) WITHOUT ROWID;
"""
_ADD: Final = """
INSERT INTO sightings SELECT ?1, ?2
WHERE (SELECT count(*) FROM (SELECT 1 FROM sightings WHERE url = ?1 LIMIT ?3)) < ?3
"""
_SIGHTINGS: Final = """
WITH RECURSIVE names(url) AS (
    SELECT ?1 UNION SELECT source FROM redirects JOIN names ON target = names.url LIMIT ?2
)
SELECT said FROM sightings WHERE url IN names ORDER BY rowid LIMIT ?3
"""
_REFUSAL: Final = """
WITH RECURSIVE names(url) AS (
    SELECT ?1 UNION SELECT source FROM redirects JOIN names ON target = names.url LIMIT ?2
)
SELECT 1 FROM refusals WHERE url IN names LIMIT 1
"""


class SightingStore:
    """Keeps sightings by the address of the picture; memory does not grow with them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Work in an open database, in which the tables are made if they are missing."""
        self._connection = connection
        connection.executescript(SCHEMA)

    @classmethod
    def temporary(cls, folder: Path) -> SightingStore:
        """Make a store for one run: fast, and worth nothing after a crash."""
        connection = sqlite3.connect(folder / "sightings.sqlite", check_same_thread=False)
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        return cls(connection)

    @property
    def connection(self) -> sqlite3.Connection:
        """The database, for tables of others that live and die with it."""
        return self._connection

    def add_page(self, page: Page, *, is_opt_out_honoured: bool = True) -> None:
        """Keep what a page says under every address of each of its pictures.

        Of a page that does not want its pictures indexed, only that is kept.
        """
        is_refusing = is_opt_out_honoured and not page.rules.may_take_images
        for mention in page.mentions:
            if is_refusing:
                rows = [(address,) for address in mention.addresses]
                self._connection.executemany("INSERT OR IGNORE INTO refusals VALUES (?)", rows)
                continue
            said = Sighting(page.url, page.title, mention).to_json()
            for address in mention.addresses:
                self._connection.execute(_ADD, (address, said, MOST_SIGHTINGS))

    def add_redirect(self, source: str, target: str) -> None:
        """Remember that asking for one address led to another."""
        if source != target:
            row = (target, source)
            self._connection.execute("INSERT OR IGNORE INTO redirects VALUES (?, ?)", row)

    def sightings(self, url: str) -> tuple[Sighting, ...]:
        """Return what pages said of a picture under its address, or under one that led there."""
        rows = self._connection.execute(_SIGHTINGS, (url, _MOST_REDIRECTS, MOST_SIGHTINGS))
        return tuple(Sighting.from_json(said) for (said,) in rows)

    def is_refused(self, url: str) -> bool:
        """Tell whether a page that shows the picture did not want it indexed."""
        return self._connection.execute(_REFUSAL, (url, _MOST_REDIRECTS)).fetchone() is not None

    def close(self) -> None:
        """Close the database."""
        self._connection.close()
