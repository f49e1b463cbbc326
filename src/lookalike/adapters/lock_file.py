"""The writer's lock: one process writes to an index, and others are told which.

The lock is the operating system's (`flock`, or a locked byte on Windows), so it goes with its
process however that ends; what the file says of its holder is only for people to read.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import weakref
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lookalike.domain.errors import DiskFullError, IndexLockedError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

POLL_S: Final = 0.05
_WINDOWS_BYTE: Final = 1 << 30
"""Windows forbids reading what is locked, so a byte far behind the text is."""


class WriterLock:
    """The right to write to an index, held between `acquire` and `release`.

    A forked child does not inherit it: it would otherwise outlive a killed parent in it.
    """

    def __init__(
        self, path: Path, *, command: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._command = command or " ".join(sys.argv)
        self._clock = clock
        self._handle: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self, *, timeout_s: float = 0.0) -> None:
        """Take the lock, waiting at most `timeout_s`; `IndexLockedError` names who holds it."""
        if self._handle is not None:
            raise IndexLockedError(f"{self._path} is held already", hint="release it first")
        give_up = time.monotonic() + timeout_s
        handle = self._open()
        try:
            while not _try_lock(handle, self._path):
                if time.monotonic() >= give_up:
                    raise _locked(handle, self._path)
                time.sleep(POLL_S)
            self._sign(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_forget, weakref.ref(self)))

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        try:
            os.ftruncate(handle, 0)
            _unlock(handle)
        except OSError as error:
            raise StoreError(f"{self._path}: {error}", hint="check the disk") from error
        finally:
            os.close(handle)

    def __enter__(self) -> Self:
        if self._handle is None:
            self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def forget(self) -> None:
        """Close the file without giving the lock back, which the parent process still holds."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be opened: {error.strerror}",
                hint="writing needs rights to the index's folder",
            ) from error

    def _sign(self, handle: int) -> None:
        since = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": self._command,
            "since": since,
        }
        try:
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, json.dumps(holder).encode() + b"\n")
        except OSError as error:
            raise DiskFullError(
                f"{self._path} cannot be written: {error.strerror}",
                hint="free some space and go on",
            ) from error


def _forget(reference: weakref.ref[WriterLock]) -> None:
    lock = reference()
    if lock is not None:
        lock.forget()


def _locked(handle: int, path: Path) -> IndexLockedError:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        holder: dict[str, Any] = json.loads(os.read(handle, 65536))
        who = (
            f"process {holder['pid']} on {holder['host']} since {holder['since']}"
            f" ({str(holder['command'])[:200]})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process that has not said who it is"
    return IndexLockedError(
        f"{path.parent} is being written to by {who}",
        hint="wait until it is done, or stop it; reading goes on meanwhile",
    )


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int, path: Path) -> bool:
        """Lock one byte; Windows gives no other reason for a refusal than a holder."""
        del path
        os.lseek(handle, _WINDOWS_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(handle: int) -> None:
        os.lseek(handle, _WINDOWS_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int, path: Path) -> bool:
        """Lock the file; not to be had is one answer, not to be locked at all another."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise StoreError(
                f"{path} cannot be locked: {error.strerror}",
                hint="keep the index on a file system that knows locks",
            ) from error
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
