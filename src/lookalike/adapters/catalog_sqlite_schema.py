"""The catalog's tables, its migrations, its connections and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexFormatError,
    IndexLockedError,
    IndexMissingError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Generator

APPLICATION_ID: Final = 0x4C4B414C
"""`LKAL`: marks an SQLite file as a Lookalike catalog."""

BUSY_TIMEOUT_MS: Final = 5000
WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
READ_MAP_BYTES: Final = 1 << 30
"""Readers map so much of the file: random rows then cost no system calls."""

_V1: Final = (
    """CREATE TABLE state(
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seq INTEGER NOT NULL, rows INTEGER NOT NULL, images INTEGER NOT NULL,
        sources INTEGER NOT NULL, removed INTEGER NOT NULL, failures INTEGER NOT NULL)""",
    "INSERT INTO state VALUES (1, 0, 0, 0, 0, 0, 0)",
    """CREATE TABLE images(
        row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,
        width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL,
        format TEXT NOT NULL, frames INTEGER NOT NULL, kind TEXT NOT NULL,
        flags INTEGER NOT NULL, taken REAL, palette BLOB NOT NULL, color_tags TEXT NOT NULL,
        phash INTEGER NOT NULL, phash_quality REAL NOT NULL, licence TEXT NOT NULL,
        embedded_text TEXT NOT NULL, models TEXT NOT NULL,
        first_seen REAL NOT NULL, last_seen REAL NOT NULL)""",
    """CREATE TABLE sources(
        number INTEGER PRIMARY KEY, image INTEGER NOT NULL REFERENCES images(row),
        uri BLOB NOT NULL UNIQUE, fingerprint TEXT NOT NULL, page_url TEXT NOT NULL,
        site BLOB NOT NULL, title TEXT NOT NULL, alt_text TEXT NOT NULL, caption TEXT NOT NULL,
        page_text TEXT NOT NULL, licence TEXT NOT NULL, taken REAL, seen REAL NOT NULL,
        is_vanished INTEGER NOT NULL)""",
    "CREATE INDEX sources_by_image ON sources(image)",
    "CREATE INDEX sources_by_site ON sources(site, image) WHERE site <> x''",
    """CREATE TABLE failures(
        number INTEGER PRIMARY KEY, uri BLOB NOT NULL UNIQUE, reason TEXT NOT NULL,
        detail TEXT NOT NULL, fingerprint TEXT NOT NULL, seen REAL NOT NULL)""",
    "CREATE INDEX failures_by_reason ON failures(reason)",
    "CREATE TABLE removed(row INTEGER PRIMARY KEY)",
    "CREATE TABLE blocked(id BLOB PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE log(
        seq INTEGER PRIMARY KEY, is_removal INTEGER NOT NULL, row INTEGER NOT NULL,
        id BLOB NOT NULL)""",
)

_V2: Final = (
    "ALTER TABLE state ADD COLUMN regions INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE state ADD COLUMN placed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE state ADD COLUMN regrouped INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE images ADD COLUMN embedded BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE images ADD COLUMN objects BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE images ADD COLUMN words BLOB NOT NULL DEFAULT x''",
    """CREATE TABLE copies(
        row INTEGER PRIMARY KEY, copy_group INTEGER NOT NULL, is_canonical INTEGER NOT NULL,
        via INTEGER NOT NULL, reason TEXT NOT NULL, score REAL NOT NULL,
        changed INTEGER NOT NULL)""",
    "CREATE INDEX copies_by_group ON copies(copy_group) WHERE copy_group >= 0",
    "CREATE INDEX copies_by_change ON copies(changed)",
    """CREATE TABLE copy_decisions(
        first BLOB NOT NULL, second BLOB NOT NULL, verdict TEXT NOT NULL, decided REAL NOT NULL,
        PRIMARY KEY (first, second)) WITHOUT ROWID""",
    "CREATE INDEX copy_decisions_by_second ON copy_decisions(second)",
    "CREATE TABLE copy_kept(id BLOB PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE copy_steps(
        number INTEGER PRIMARY KEY, kind TEXT NOT NULL, images BLOB NOT NULL, kept BLOB,
        at REAL NOT NULL, before TEXT NOT NULL)""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_V1, _V2)
"""Statements that lead from each version to the next; never edited once released."""

VERSION: Final = len(MIGRATIONS)

_REPAIR_HINT: Final = "restore a backup, or index the pictures anew"


@contextmanager
def store_errors(path: Path) -> Generator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(error, path) from error


def _translated(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"no space is left for {path}", hint="free some space and go on")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return IndexCorruptError(f"{path} is damaged: {error}", hint=_REPAIR_HINT)
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return IndexLockedError(f"{path} is busy: {error}", hint="wait for the other process")
    if code == sqlite3.SQLITE_IOERR and not path.exists():
        return IndexMissingError(f"{path} is gone", hint="was the index deleted while in use?")
    return StoreError(f"{path}: {error}", hint="check the folder, its rights and its disk")


def connect(path: Path, *, is_writer: bool) -> sqlite3.Connection:
    """Open a connection in autocommit mode; `store_errors` is around it."""
    mode = "rwc" if is_writer else "ro"
    if not is_writer and _is_on_read_only_disk(path):
        mode += "&immutable=1"
    name = quote(os.fsencode(path.absolute()))
    connection = sqlite3.connect(
        f"file:{name}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        if is_writer:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        else:
            connection.execute(f"PRAGMA mmap_size = {READ_MAP_BYTES}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this version, one transaction a version."""
    _check_file(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        for version in range(_version(connection), VERSION):
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse to read a file of another version; only a writer migrates."""
    _check_file(connection, path)
    version = _version(connection)
    if version == 0:
        raise IndexMissingError(f"{path} holds no catalog yet", hint="index some pictures first")
    if version < VERSION:
        raise IndexFormatError(
            f"{path} has the older format {version}; this version reads {VERSION}",
            hint="open it once for writing, which brings it up to date",
        )


def _check_file(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    if has_tables and application != APPLICATION_ID:
        raise IndexCorruptError(
            f"{path} is an SQLite file, but not a Lookalike catalog", hint="choose another folder"
        )
    if version > VERSION:
        raise IndexFormatError(
            f"{path} has format {version}; this version reads up to {VERSION}",
            hint="upgrade Lookalike to open it",
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_on_read_only_disk(path: Path) -> bool:
    """Tell whether nothing can write there: WAL then has no shared memory, nor any need of it.

    A write-ahead log that was left behind still has to be read, which `immutable` would not.
    """
    if sys.platform == "win32":
        return False
    log = path.with_name(path.name + "-wal")
    try:
        is_read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
        return is_read_only and not (log.exists() and log.stat().st_size)
    except OSError:
        return False
