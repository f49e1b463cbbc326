"""The click log in one SQLite file beside the index, which several processes may share.

A file of its own: the catalog's version does not change with it, it may be deleted by itself, and
writing it never waits for a writer of the index.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lookalike.adapters.clicks_values import ClickBounds, pack_answer, unpack_answer
from lookalike.domain.clicks import MOST_CLICKS, Click, Session, check_shown
from lookalike.domain.errors import (
    ClickError,
    DiskFullError,
    IndexCorruptError,
    IndexFormatError,
    IndexLockedError,
    StoreError,
    UnknownAnswerError,
)
from lookalike.domain.images import ImageId
from lookalike.ports.clicks import ClickCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from lookalike.domain.clicks import Shown

FILE_NAME: Final = "clicks.sqlite"
APPLICATION_ID: Final = 0x4C4B434B
"""`LKCK`: marks an SQLite file as a click log."""

VERSION: Final = 1
BUSY_TIMEOUT_S: Final = 5.0
CHUNK: Final = 500
SWEEP_EVERY: Final = 200
"""After so many answers what is over the bounds is deleted."""

_TABLES: Final = (
    """CREATE TABLE answers(
        query_id TEXT PRIMARY KEY, at REAL NOT NULL, data BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX answers_by_time ON answers(at, query_id)",
    """CREATE TABLE clicks(
        query_id TEXT NOT NULL, position INTEGER NOT NULL, image TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY(query_id, position)) WITHOUT ROWID""",
)


class SqliteClickLog:
    """`ports.clicks.ClickLog` in one SQLite file; threads may share it."""

    def __init__(
        self,
        path: Path,
        bounds: ClickBounds | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep the place; the file is made when something is first written."""
        self._path = path
        self._bounds = bounds or ClickBounds()
        self._clock = clock
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self._unswept = SWEEP_EVERY  # at the first write

    def add_answers(self, answers: Sequence[Shown]) -> None:
        """Write answers, and delete what is over the bounds now and then."""
        rows = [(one.query_id, one.at, pack_answer(one)) for one in answers]
        with self._writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)
            self._unswept += len(rows)
            if self._unswept >= SWEEP_EVERY:
                self._sweep(connection)

    def add_click(self, click: Click) -> None:
        """Write a click; a further one on the same position changes nothing."""
        with self._writing() as connection:
            row = connection.execute(
                "SELECT data FROM answers WHERE query_id = ? AND at >= ?",
                (click.query_id, self._oldest()),
            ).fetchone()
            if row is None:
                raise unknown_answer(click.query_id)
            check_shown(click, unpack_answer(row[0]).images)
            (count,) = connection.execute(
                "SELECT count(*) FROM clicks WHERE query_id = ?", (click.query_id,)
            ).fetchone()
            if count < MOST_CLICKS:
                connection.execute(
                    "INSERT OR IGNORE INTO clicks VALUES (?, ?, ?, ?)",
                    (click.query_id, click.position, click.image, click.at),
                )

    def sessions(
        self, *, since: float | None = None, until: float | None = None
    ) -> Iterator[Session]:
        """Yield the answers of a time with their clicks, the oldest first."""
        last = (max(since or 0.0, self._oldest()), "")
        end = float("inf") if until is None else until
        while rows := self._all(
            "SELECT at, query_id, data FROM answers WHERE (at, query_id) > (?, ?) AND at < ?"
            " ORDER BY at, query_id LIMIT ?",
            (*last, end, CHUNK),
        ):
            last = (rows[-1][0], rows[-1][1])
            clicks = self._clicks([row[1] for row in rows])
            for _, query_id, data in rows:
                try:
                    yield Session(unpack_answer(data), tuple(clicks.get(query_id, ())))
                except ClickError:  # a damaged line costs no others
                    continue

    def forget(self, *, before: float | None = None, query_id: str | None = None) -> int:
        """Delete answers with their clicks, and give the space back."""
        if not self._path.exists():
            return 0
        condition, values = "1", list[object]()
        if before is not None:
            condition, values = f"{condition} AND at < ?", [*values, before]
        if query_id is not None:
            condition, values = f"{condition} AND query_id = ?", [*values, query_id]
        with self._writing() as connection:
            chosen = f"SELECT query_id FROM answers WHERE {condition}"  # noqa: S608 - our own words
            connection.execute(f"DELETE FROM clicks WHERE query_id IN ({chosen})", values)  # noqa: S608
            count = connection.execute(f"DELETE FROM answers WHERE {condition}", values).rowcount  # noqa: S608
        with self._connection() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return count

    def counts(self) -> ClickCounts:
        """Return how much there is."""
        if not self._path.exists():
            return ClickCounts(0, 0)
        oldest = self._oldest()
        with self._connection() as connection:
            answers, first, last = connection.execute(
                "SELECT count(*), min(at), max(at) FROM answers WHERE at >= ?", (oldest,)
            ).fetchone()
            (clicks,) = connection.execute(
                "SELECT count(*) FROM clicks JOIN answers USING (query_id) WHERE answers.at >= ?",
                (oldest,),
            ).fetchone()
        return ClickCounts(answers, clicks, first, last)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _oldest(self) -> float:
        return self._clock() - self._bounds.seconds

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete what is too old, and the oldest of what is too many.

        What bears a time to come, since the clock went back, is kept as the newest.
        """
        self._unswept = 0
        (count,) = connection.execute("SELECT count(*) FROM answers").fetchone()
        excess = max(0, count - self._bounds.most_answers)
        connection.execute("DELETE FROM answers WHERE at < ?", (self._oldest(),))
        if excess:
            connection.execute(
                "DELETE FROM answers WHERE query_id IN"
                " (SELECT query_id FROM answers ORDER BY at LIMIT max(0,"
                " (SELECT count(*) FROM answers) - ?))",
                (self._bounds.most_answers,),
            )
        connection.execute(
            "DELETE FROM clicks WHERE query_id NOT IN (SELECT query_id FROM answers)"
        )

    def _clicks(self, ids: Sequence[str]) -> dict[str, list[Click]]:
        marks = ",".join("?" * len(ids))
        chosen = f"WHERE query_id IN ({marks}) ORDER BY at, position"
        query = f"SELECT query_id, position, image, at FROM clicks {chosen}"  # noqa: S608 - marks
        rows = self._all(query, tuple(ids))
        found: dict[str, list[Click]] = {}
        for query_id, position, image, at in rows:
            found.setdefault(query_id, []).append(Click(query_id, ImageId(image), position, at))
        return found

    def _all(self, query: str, values: tuple[object, ...]) -> list[Any]:
        if not self._path.exists():
            return []
        with self._connection() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _connection(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._opened is None:
                    self._opened = _connect(self._path)
                yield self._opened
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error


def unknown_answer(query_id: str) -> UnknownAnswerError:
    """Return the error of a click on an answer that is not there."""
    return UnknownAnswerError(
        f"no answer {query_id} is in the click log", hint="it was not logged, or is too old"
    )


def _connect(path: Path) -> sqlite3.Connection:
    name = quote(os.fsencode(path.absolute()))
    connection = sqlite3.connect(
        f"file:{name}?mode=rwc", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None,
        check_same_thread=False,
    )  # fmt: skip
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _make(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables unless they are there, and refuse a file that is something else."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not (application or version or objects):
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif application != APPLICATION_ID:
            raise IndexCorruptError(f"{path} is no click log", hint="move it away")
        elif version != VERSION:
            raise IndexFormatError(
                f"{path} has format {version}; this version reads {VERSION}",
                hint="upgrade Lookalike, or move the file away",
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _translated(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"no space is left for {path}", hint="free some space and go on")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return IndexCorruptError(f"{path} is damaged: {error}", hint="move it away: clicks alone")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return IndexLockedError(f"{path} is busy: {error}", hint="wait for the other process")
    return StoreError(f"{path}: {error}", hint="check the folder, its rights and its disk")
