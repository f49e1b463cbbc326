"""Who may write: one call of this process at a time, under the index's lock between processes."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import IndexLockedError, LookalikeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from lookalike.engine.writer import Writer

MOST_WAIT_S: Final = 60.0


class WriterLease:
    """Opens the writer for a call, and keeps it a while for the next one.

    A server that takes pictures one by one opens its writer once; after `idle_s` without a call
    the lock is given back, so that other processes come to write too. 0 gives it back at once.
    """

    def __init__(self, open_writer: Callable[[], Writer], *, idle_s: float) -> None:
        """Nothing is opened before the first call."""
        self._open_writer = open_writer
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._writer: Writer | None = None
        self._timer: threading.Timer | None = None

    @contextmanager
    def hold(self) -> Generator[Writer]:
        """Give the writer to a `with` block; after a failure in it, the next call opens it anew."""
        self._take()
        try:
            writer = self._writer = self._writer or self._open_writer()
            try:
                yield writer
            except BaseException:
                with suppress(LookalikeError):  # the first failure is the one to tell
                    self._close()
                raise
            if self._idle_s > 0:
                self._timer = threading.Timer(self._idle_s, self._end_idleness)
                self._timer.daemon = True
                self._timer.start()
            else:
                self._close()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Give back what is held."""
        self._take()
        try:
            self._close()
        finally:
            self._lock.release()

    def _take(self) -> None:
        if not self._lock.acquire(timeout=MOST_WAIT_S):
            raise IndexLockedError(
                f"another call of this process has been writing for over {MOST_WAIT_S:.0f} s",
                hint="wait until it is done",
            )
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_idleness(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
