"""From Tantivy's failures to Lookalike's errors."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexLockedError,
    StoreError,
)

if TYPE_CHECKING:
    from pathlib import Path


_KILLED: Final = "index writer was killed"
"""What Tantivy says when a thread of its own met an error, which it keeps to itself."""

_LEAST_FREE_BYTES: Final = 16 << 20


def corrupt(folder: Path, reason: str) -> IndexCorruptError:
    """Return the error of an index that has to be built again."""
    return IndexCorruptError(
        f"the text index in {folder} cannot be read: {reason}",
        hint="it is derived: delete that folder and it is built again from the catalog",
    )


@contextmanager
def store_errors(folder: Path, *, is_opening: bool = False) -> Generator[None]:
    """Let only Lookalike's errors out; while opening, whatever fails means a damaged index."""
    try:
        yield
    except (ValueError, OSError, RuntimeError, OverflowError) as error:
        raise _translated(error, folder, is_opening=is_opening) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Tantivy panics on damaged files
            raise
        raise corrupt(folder, str(error)) from error


def _translated(error: Exception, folder: Path, *, is_opening: bool) -> StoreError:
    text = str(error)
    is_full = "No space left" in text or "StorageFull" in text or "os error 28" in text
    if is_full or (_KILLED in text and shutil.disk_usage(folder).free < _LEAST_FREE_BYTES):
        return DiskFullError(
            f"no space is left for the text index in {folder}", hint="free some space and go on"
        )
    if "LockBusy" in text:
        return IndexLockedError(f"another process is writing to {folder}")
    if is_opening or "Data corrupt" in text or "FileDoesNotExist" in text:
        return corrupt(folder, text)
    return StoreError(f"the text index in {folder} failed: {text}")
