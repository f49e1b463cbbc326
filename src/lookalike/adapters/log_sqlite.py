"""The embedded ingest log: one SQLite file that several processes of one machine share.

A message that is handed out names its holder. Holders renew a lease while they live; when one is
killed its lease runs out, and its messages are handed out again.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lookalike.adapters.log_entries import (
    MOST_DETAIL,
    MOST_REASON,
    check_sizes,
    fit_text,
    pack_key,
    unpack_key,
)
from lookalike.adapters.log_sqlite_schema import connect, log_errors
from lookalike.domain.errors import BackendError, StoreError
from lookalike.ports.ingest_log import DeadLetter, Delivery

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Sequence

    from lookalike.adapters.log_sqlite_schema import SqliteLogOptions
    from lookalike.ports.ingest_log import Entry

_SHORT_PAUSE_S: Final = 0.01
_LONG_PAUSE_S: Final = 0.1
_BEATS: Final = 3
"""Renewals of a lease within its length."""

# A message waits for the earlier ones of its key that another worker holds.
_NEXT: Final = """
    SELECT offset, key, value, published FROM messages AS m
    WHERE holder IS NULL AND NOT EXISTS (
        SELECT 1 FROM messages AS e
        WHERE e.key = m.key AND e.offset < m.offset AND e.holder IS NOT NULL AND e.holder <> ?)
    ORDER BY offset LIMIT ?"""


class SqliteIngestLog:
    """`ports.ingest_log.IngestLog` in one SQLite file; threads may share it."""

    def __init__(
        self, options: SqliteLogOptions, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._options = options
        self._clock = clock
        self._worker = secrets.token_hex(8)
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self._is_closed = threading.Event()
        self._beating: threading.Thread | None = None

    def publish(self, entries: Sequence[Entry]) -> None:
        """Append messages, all or none of them; they are on the disk when this returns.

        Raises:
            MessageTooLargeError: one is over the bound; none of them was appended.
        """
        check_sizes(entries, self._options.most_bytes)
        now = self._clock()
        rows = [(pack_key(entry.key), entry.value, now) for entry in entries]
        if rows:
            with self._writing() as connection:
                connection.executemany(
                    "INSERT INTO messages(key, value, published) VALUES (?, ?, ?)", rows
                )

    def poll(self, *, most: int, timeout_s: float) -> Sequence[Delivery]:
        """Return at most so many messages that this worker has not been given yet."""
        deadline = time.monotonic() + timeout_s
        pause = _SHORT_PAUSE_S
        while most > 0:
            taken = self._take(most)
            left = deadline - time.monotonic()
            if taken or left <= 0:
                return taken
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONG_PAUSE_S)
        return []

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Delete messages that are done."""
        if deliveries:
            with self._writing() as connection:
                connection.executemany(
                    "DELETE FROM messages WHERE offset = ?", [(d.offset,) for d in deliveries]
                )

    def reject(self, delivery: Delivery, reason: str, detail: str) -> None:
        """Move a message to the dead letters; one that is done already stays done."""
        with self._writing() as connection:
            deleted = connection.execute(
                "DELETE FROM messages WHERE offset = ?", (delivery.offset,)
            ).rowcount
            if deleted:
                connection.execute(
                    "INSERT INTO dead_letters(reason, detail, key, value, failed)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (
                        fit_text(reason, MOST_REASON),
                        fit_text(detail, MOST_DETAIL),
                        pack_key(delivery.key),
                        delivery.value,
                        self._clock(),
                    ),
                )

    def rewind(self) -> None:
        """Let go of everything this worker was given and has not done."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE messages SET holder = NULL WHERE holder = ?", (self._worker,)
            )

    def lag(self) -> int:
        """Return how many messages are not done."""
        with self._lock, log_errors(self._options):
            (count,) = self._connection.execute("SELECT count(*) FROM messages").fetchone()
            return count

    def dead_letters(self, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return messages that were set aside, the newest first."""
        with self._lock, log_errors(self._options):
            rows = self._connection.execute(
                "SELECT reason, detail, key, value, failed FROM dead_letters"
                " ORDER BY number DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [DeadLetter(r, d, unpack_key(key), value, at) for r, d, key, value, at in rows]

    def close(self) -> None:
        """Let go of what was not done, and close the file."""
        self._is_closed.set()
        if self._beating is not None:
            self._beating.join()
        with self._lock:
            if self._opened is None:
                return
            try:
                with self._writing() as connection:
                    connection.execute(
                        "UPDATE messages SET holder = NULL WHERE holder = ?", (self._worker,)
                    )
                    connection.execute("DELETE FROM workers WHERE name = ?", (self._worker,))
            finally:
                self._opened.close()
                self._opened = None

    def _take(self, most: int) -> list[Delivery]:
        if not self._may_have_some():
            return []
        with self._writing() as connection:
            now = self._clock()
            self._renew(connection, now)
            connection.execute(
                "UPDATE messages SET holder = NULL WHERE holder IN"
                " (SELECT name FROM workers WHERE until < ?)",
                (now,),
            )
            connection.execute("DELETE FROM workers WHERE until < ?", (now,))
            rows = connection.execute(_NEXT, (self._worker, most)).fetchall()
            connection.executemany(
                "UPDATE messages SET holder = ? WHERE offset = ?",
                [(self._worker, offset) for offset, *_ in rows],
            )
        self._beat()
        return [Delivery(0, offset, unpack_key(key), value, at) for offset, key, value, at in rows]

    def _may_have_some(self) -> bool:
        """Look without writing, so that an idle worker costs no disk."""
        with self._lock, log_errors(self._options):
            return bool(
                self._connection.execute(
                    "SELECT EXISTS (SELECT 1 FROM messages WHERE holder IS NULL)"
                    " OR EXISTS (SELECT 1 FROM workers WHERE until < ?)",
                    (self._clock(),),
                ).fetchone()[0]
            )

    def _renew(self, connection: sqlite3.Connection, now: float) -> None:
        connection.execute(
            "INSERT INTO workers(name, until) VALUES (?, ?)"
            " ON CONFLICT(name) DO UPDATE SET until = excluded.until",
            (self._worker, now + self._options.lease_s),
        )

    def _beat(self) -> None:
        """Renew the lease in the background, for a batch may take longer than it holds."""
        if self._beating is not None:
            return

        def renew() -> None:
            while not self._is_closed.wait(self._options.lease_s / _BEATS):
                try:
                    with self._writing() as connection:
                        self._renew(connection, self._clock())
                except StoreError:
                    continue  # the next poll meets the same trouble, and raises it

        self._beating = threading.Thread(target=renew, name="ingest-lease", daemon=True)
        self._beating.start()

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            if self._is_closed.is_set():
                raise BackendError(self._options.name, "the log was closed", hint="open it anew")
            self._opened = connect(self._options)
        return self._opened

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """Run a transaction, alone among this object's threads."""
        with self._lock, log_errors(self._options):
            connection = self._opened or self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
