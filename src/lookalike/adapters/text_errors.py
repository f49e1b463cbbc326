"""From Tantivy's failures to Lookalike's errors."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexLockedError,
    StoreError,
)

if TYPE_CHECKING:
    from pathlib import Path


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
    if "No space left" in text or "StorageFull" in text or "os error 28" in text:
        return DiskFullError(f"no space is left for the text index in {folder}")
    if "LockBusy" in text:
        return IndexLockedError(f"another process is writing to {folder}")
    if is_opening or "Data corrupt" in text or "FileDoesNotExist" in text:
        return corrupt(folder, text)
    return StoreError(f"the text index in {folder} failed: {text}")
