"""The state of a crawl, in one SQLite file that the crawler and the indexer share.

The crawler writes what it has fetched, the indexer takes it away once it is indexed. What is
asked for, fetched and indexed survives a stop or the death of either.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lookalike.adapters.source_pages_store import SightingStore
from lookalike.domain.pages import MOST_SITES
from lookalike.domain.sources import site_of

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.domain.pages import ImageMention, Page, Sighting
    from lookalike.domain.pages_crawl import CrawlPlan

MOST_WAITING_BYTES: Final = 256 << 20
"""Bytes of pictures that wait for the indexer, above which the crawler rests."""

_WAIT_S: Final = 30.0
_MOST_FALLBACKS: Final = 4
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, url TEXT UNIQUE, kind TEXT, depth INTEGER, others TEXT, state INTEGER
);
CREATE INDEX IF NOT EXISTS requests_due ON requests (state, kind, depth, id);
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY, url TEXT UNIQUE, data BLOB, size INTEGER, reason TEXT, detail TEXT,
    is_given INTEGER
);
CREATE INDEX IF NOT EXISTS images_due ON images (is_given, id);
"""
_WAITING, _ASKED, _DONE = 0, 1, 2
_DUE: Final = """
SELECT id, url, kind, depth, others FROM requests
WHERE state = 0 AND kind = ? ORDER BY depth, id LIMIT ?
"""
_COUNT: Final = """
INSERT INTO counts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET n = n + ?2
"""
_PUT: Final = """
INSERT INTO images (url, data, size, reason, detail, is_given) VALUES (?1, ?2, ?3, ?4, ?5, 0)
ON CONFLICT (url) DO UPDATE SET data = ?2, size = ?3, reason = ?4, detail = ?5, is_given = 0
"""


@dataclass(frozen=True, slots=True)
class CrawlRequest:
    """One thing to fetch; `others` are further files of the same picture, the best first."""

    id: int
    url: str
    kind: Literal["page", "image"]
    depth: int
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CrawledImage:
    """One picture that was fetched, or could not be (`error`: reason and detail)."""

    url: str
    data: bytes
    sightings: tuple[Sighting, ...]
    error: tuple[str, str] = ("", "")


class CrawlSpool:
    """What both sides of a crawl do with its state; safe to call from several threads."""

    def __init__(self, folder: Path) -> None:
        """Open the state in a folder, making it where there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            folder / "crawl.sqlite", timeout=_WAIT_S, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        self._store = SightingStore(self._connection)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the state."""
        with self._lock:
            self._connection.close()

    # ── what the crawler does ────────────────────────────────────────────────────────────────

    def begin(self, plan: CrawlPlan) -> None:
        """Take a plan up: what was asked for and never came is asked for again."""
        with self._lock, self._connection:
            self._connection.execute("UPDATE requests SET state = 0 WHERE state = ?", (_ASKED,))
            self._set("plan", plan.to_json())
            self._set("finished", "")
            self._ask((url, "page", 0, "[]") for url in plan.starts)

    def plan(self) -> str:
        """Return the plan of the last run as it was written, or an empty string."""
        return self._fact("plan")

    def due(self, plan: CrawlPlan, most: int) -> list[CrawlRequest]:
        """Return what to fetch next, within what the plan allows, and note that it is asked for.

        Pages come before pictures of the same depth or a greater one, half and half at the most.
        """
        with self._lock, self._connection:
            counts = self._counts()
            taken: list[CrawlRequest] = []
            pages = min(max(1, most // 2), plan.most_pages - counts.get("pages-asked", 0))
            images = plan.most_images - counts.get("images-asked", 0)
            if counts.get("bytes", 0) >= plan.most_bytes:
                images = 0
            for kind, left in (("page", min(pages, most)), ("image", min(images, most))):
                room = min(left, most - len(taken))
                rows = self._connection.execute(_DUE, (kind, max(0, room))).fetchall()
                taken += [
                    CrawlRequest(number, url, kind, depth, tuple(json.loads(others)))
                    for number, url, kind, depth, others in rows
                ]
                self._connection.execute(_COUNT, (f"{kind}s-asked", len(rows)))
            ids = [(_ASKED, request.id) for request in taken]
            self._connection.executemany("UPDATE requests SET state = ? WHERE id = ?", ids)
            return taken

    def add_page(
        self,
        request: CrawlRequest,
        page: Page,
        links: Iterable[str],
        *,
        is_opt_out_honoured: bool,
    ) -> None:
        """Keep what a page says, and ask for its pictures and its links."""
        with self._lock, self._connection:
            if page.rules.may_take_images or not is_opt_out_honoured:
                for mention in page.mentions:
                    self._ask_for_picture(mention, page.url, request.depth)
            self._store.add_page(page, is_opt_out_honoured=is_opt_out_honoured)
            self._ask((url, "page", request.depth + 1, "[]") for url in links)
            for cause, count in page.skipped.items():
                self._connection.execute(_COUNT, (f"skipped:{cause}", count))
            self._finish(request, "pages")

    def add_image(self, request: CrawlRequest, data: bytes) -> None:
        """Keep a picture for the indexer."""
        with self._lock, self._connection:
            self._connection.execute(_PUT, (request.url, data, len(data), "", ""))
            self._connection.execute(_COUNT, ("bytes", len(data)))
            self._finish(request, "images")

    def add_failure(self, request: CrawlRequest, reason: str, detail: str) -> None:
        """Note that something cannot be had; another file of the same picture is tried."""
        with self._lock, self._connection:
            if request.kind == "page":
                self._finish(request, f"page:{reason}")
                return
            others = list(request.others)
            if others:
                self._ask([(others[0], "image", request.depth, json.dumps(others[1:]))])
            else:
                self._connection.execute(_PUT, (request.url, None, 0, reason, detail))
            self._finish(request, f"image:{reason}")

    def finish(self) -> None:
        """Note that there is nothing left to fetch."""
        with self._lock, self._connection:
            self._set("finished", "1")

    def is_full(self) -> bool:
        """Tell whether so much waits for the indexer that the crawler should rest."""
        query = "SELECT coalesce(sum(size), 0) FROM images WHERE is_given = 0"
        with self._lock:
            return int(self._connection.execute(query).fetchone()[0]) > MOST_WAITING_BYTES

    # ── what the indexer does ────────────────────────────────────────────────────────────────

    def is_finished(self) -> bool:
        """Tell whether the crawler had nothing left to fetch."""
        return bool(self._fact("finished"))

    def waiting(self, most: int) -> list[int]:
        """Return the numbers of pictures that wait, the oldest first."""
        query = "SELECT id FROM images WHERE is_given = 0 ORDER BY id LIMIT ?"
        with self._lock:
            return [number for (number,) in self._connection.execute(query, (most,))]

    def image(self, number: int) -> CrawledImage:
        """Return one picture with what pages say of it."""
        query = "SELECT url, data, reason, detail FROM images WHERE id = ?"
        with self._lock:
            url, data, reason, detail = self._connection.execute(query, (number,)).fetchone()
            sightings = self._store.sightings(url)
        return CrawledImage(url, data or b"", sightings, (reason, detail))

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """Drop the bytes of pictures that are indexed."""
        rows = [(number,) for number in numbers]
        update = "UPDATE images SET is_given = 1, data = NULL, size = 0 WHERE id = ?"
        with self._lock, self._connection:
            self._connection.executemany(update, rows)

    def counts(self) -> dict[str, int]:
        """Return what was done so far, by name; `waiting` counts what is still to be fetched."""
        query = "SELECT count(*) FROM requests WHERE state < ?"
        with self._lock:
            waiting = int(self._connection.execute(query, (_DONE,)).fetchone()[0])
            return {**self._counts(), "waiting": waiting}

    # ── inside a transaction ─────────────────────────────────────────────────────────────────

    def _ask(self, rows: Iterable[tuple[str, str, int, str]]) -> None:
        insert = """
        INSERT OR IGNORE INTO requests (url, kind, depth, others, state) VALUES (?, ?, ?, ?, 0)
        """
        self._connection.executemany(insert, rows)

    def _ask_for_picture(self, mention: ImageMention, page_url: str, depth: int) -> None:
        """Ask for a picture; for one that is indexed, once more for the words of another site."""
        url, *others = mention.addresses
        self._ask([(url, "image", depth, json.dumps(others[:_MOST_FALLBACKS]))])
        query = "SELECT is_given FROM images WHERE url = ? AND reason = ''"
        row = self._connection.execute(query, (url,)).fetchone()
        if row is None or not row[0]:
            return
        sites = {site_of(sighting.page_url) for sighting in self._store.sightings(url)}
        if site_of(page_url) not in sites and len(sites) < MOST_SITES:
            self._connection.execute("UPDATE requests SET state = 0 WHERE url = ?", (url,))

    def _finish(self, request: CrawlRequest, count: str) -> None:
        update = "UPDATE requests SET state = ? WHERE id = ?"
        self._connection.execute(update, (_DONE, request.id))
        self._connection.execute(_COUNT, (count, 1))

    def _set(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def _counts(self) -> dict[str, int]:
        return dict(self._connection.execute("SELECT name, n FROM counts"))

    def _fact(self, name: str) -> str:
        query = "SELECT value FROM facts WHERE name = ?"
        with self._lock, closing(self._connection.execute(query, (name,))) as rows:
            row = rows.fetchone()
        return "" if row is None else str(row[0])
