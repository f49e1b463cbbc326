"""The file of the embedded ingest log: its tables, its options, what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

from lookalike.adapters.log_settings import read_settings
from lookalike.domain.errors import (
    BackendError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    DiskFullError,
    StoreError,
    UsageError,
)
from lookalike.domain.ingest_messages import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

APPLICATION_ID: Final = 0x4C4B4C47
"""`LKLG`: marks an SQLite file as an ingest log."""

VERSION: Final = 1
FILE_NAME: Final = "ingest.sqlite"

_TABLES: Final = (
    # A message that is done is deleted, and its offset never given again.
    """CREATE TABLE messages(
        offset INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL, value BLOB NOT NULL,
        published REAL NOT NULL, holder TEXT)""",
    "CREATE INDEX messages_by_key ON messages(key, offset)",
    "CREATE INDEX messages_waiting ON messages(offset) WHERE holder IS NULL",
    "CREATE INDEX messages_held ON messages(holder) WHERE holder IS NOT NULL",
    "CREATE TABLE workers(name TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE dead_letters(
        number INTEGER PRIMARY KEY AUTOINCREMENT, reason TEXT NOT NULL, detail TEXT NOT NULL,
        key BLOB NOT NULL, value BLOB NOT NULL, failed REAL NOT NULL)""",
)


@dataclass(frozen=True, slots=True)
class SqliteLogOptions:
    """The file of an embedded log, and for how long a silent worker keeps its messages."""

    path: Path
    lease_s: float = 30.0
    request_timeout_s: float = 10.0
    most_bytes: int = MOST_BYTES

    @classmethod
    def from_url(
        cls, url: str, *, username: str = "", password: str = "", **settings: object
    ) -> Self:
        """Read `sqlite:///path/of/the.file` or `file:///folder`.

        Raises:
            UsageError: the URL is neither, or a setting is unknown or wrong.
        """
        parts = urlsplit(url)
        place = os.fsdecode(unquote_to_bytes(parts.path))
        is_odd = parts.netloc or parts.query or parts.fragment or not place.strip("/")
        if parts.scheme not in {"file", "sqlite"} or is_odd:
            raise UsageError(
                f"{url[:80]!r} is no ingest log in a file",
                hint="as in sqlite:///var/lib/lookalike/ingest.sqlite",
            )
        if username or password:
            raise UsageError("a log in a file takes no credentials", hint="leave them out")
        path = Path(place) if parts.scheme == "sqlite" else Path(place) / FILE_NAME
        options = cls(path, **read_settings(cls, settings, taken=()))
        if min(options.lease_s, options.request_timeout_s, options.most_bytes) <= 0:
            raise UsageError("times and sizes of a log are above 0", hint="leave them out")
        return options

    @property
    def name(self) -> str:
        """Return how errors name the log."""
        return f"sqlite://{self.path}"


@contextmanager
def log_errors(options: SqliteLogOptions) -> Generator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _translated(error, options) from error


def _translated(error: sqlite3.Error | OSError, options: SqliteLogOptions) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    name = options.name
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"no space is left for {name}", hint="free some space and go on")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return BackendSchemaError(
            name, f"the file is damaged, or no log: {error}", hint="move it away and publish again"
        )
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return BackendTimeoutError(name, "another process holds the file", hint="try again")
    if code == sqlite3.SQLITE_CANTOPEN or isinstance(error, OSError):
        return BackendUnreachableError(
            name, f"the file cannot be opened: {error}", hint="check the folder and its rights"
        )
    return BackendError(name, str(error), hint="check the folder, its rights and its disk")


def connect(options: SqliteLogOptions) -> sqlite3.Connection:
    """Open the file, and make it when there is none; `log_errors` is around it."""
    options.path.parent.mkdir(parents=True, exist_ok=True)
    name = quote(os.fsencode(options.path.absolute()))
    connection = sqlite3.connect(
        f"file:{name}?mode=rwc",
        uri=True,
        timeout=options.request_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _make(connection, options)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _make(connection: sqlite3.Connection, options: SqliteLogOptions) -> None:
    """Make the tables unless they are there, and refuse a file that is something else."""
    if _is_ours(connection, options):
        return
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_ours(connection, options):  # another process may have been first
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except (sqlite3.Error, StoreError):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_ours(connection: sqlite3.Connection, options: SqliteLogOptions) -> bool:
    """Tell whether the file has our tables; an empty one has none yet."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and version == 0 and objects == 0:
        return False
    if application != APPLICATION_ID:
        raise BackendSchemaError(
            options.name, "the file is something else", hint="name another file"
        )
    if version != VERSION:
        raise BackendSchemaError(
            options.name,
            f"the file has the format {version}; this version reads {VERSION}",
            hint="upgrade Lookalike, or let the version that made it finish the log",
        )
    return True
