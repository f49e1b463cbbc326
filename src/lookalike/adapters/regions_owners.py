"""The file that says whose each region is: little-endian int64 region codes, by position."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from lookalike.adapters.vectors_matrix import store_error, sync_folder, write_all
from lookalike.domain.errors import IndexCorruptError, IndexMissingError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.domain.arrays import RowArray

_BYTES = 8


class OwnersFile:
    """Appends codes; the one process that writes holds it open."""

    def __init__(self, path: Path, length: int) -> None:
        """Open or create the file and cut it back to the `length` that is committed."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_made = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise store_error(error, path.name) from error
        try:
            if os.fstat(self._descriptor).st_size < length * _BYTES:
                raise _short(path, os.fstat(self._descriptor).st_size // _BYTES, length)
            os.ftruncate(self._descriptor, length * _BYTES)
            if is_made:
                sync_folder(path.parent)
        except OSError as error:
            self.close()
            raise store_error(error, path.name) from error
        except StoreError:
            self.close()
            raise

    def write(self, at: int, codes: RowArray) -> None:
        """Write `(n,)` codes from a position on; a full disk leaves the file as long as before."""
        try:
            write_all(self._descriptor, codes.astype("<i8").data, at * _BYTES)
        except OSError as error:
            os.ftruncate(self._descriptor, at * _BYTES)
            raise store_error(error, self._path.name) from error

    def sync(self) -> None:
        """Make every code durable."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise store_error(error, self._path.name) from error

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def map_owners(path: Path, length: int) -> RowArray:
    """Map the first `length` codes to read."""
    if length == 0:
        return np.empty(0, np.int64)
    try:
        has = path.stat().st_size // _BYTES
        if has < length:
            raise _short(path, has, length)
        return np.memmap(path, np.dtype("<i8"), "r", 0, (length,))
    except FileNotFoundError as error:
        raise IndexMissingError(
            f"{path.name} is missing", hint="restore the index from a backup"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror or error}") from error


def _short(path: Path, has: int, length: int) -> IndexCorruptError:
    return IndexCorruptError(
        f"{path.name} holds {has} regions, the catalog counts {length}",
        hint="restore the index from a backup, or index the pictures again",
    )
