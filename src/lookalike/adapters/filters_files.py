"""Columns: one file of fixed-width numbers per field, row = position, append only.

`kind.u1` holds the kind's number (0 for a foreign one) in its low bits and the flags above it;
`colors.u2` a bit for each of the eleven colour terms; the rest are what they say. All numbers
are little-endian.
"""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.adapters.filters_bitmaps import sync_folder
from lookalike.domain.errors import DiskFullError, IndexCorruptError, StoreError
from lookalike.domain.images import COLOR_NAMES, KINDS

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray
    from lookalike.domain.images import ImageRecord

KIND_BITS: Final = 0x0F
ANIMATED: Final = 0x10
TRANSPARENT: Final = 0x20

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "kind": np.dtype("<u1"),
    "colors": np.dtype("<u2"),
    "width": np.dtype("<u4"),
    "height": np.dtype("<u4"),
    "bytes": np.dtype("<u8"),
    "taken": np.dtype("<f8"),
    "seen": np.dtype("<f8"),
}

COLOR_BITS: Final = {name: 1 << at for at, name in enumerate(COLOR_NAMES)}
KIND_NUMBERS: Final = {name: at + 1 for at, name in enumerate(KINDS)}


class ColumnFiles:
    """The open columns; `maps` are read-only arrays of the rows shown."""

    def __init__(self, folder: Path, *, rows: int, is_writer: bool) -> None:
        self._folder = folder
        self._handles: dict[str, int] = {}
        self.rows = 0
        self.maps: dict[str, NDArray[Any]] = {}
        with file_errors(folder):
            if is_writer:
                folder.mkdir(parents=True, exist_ok=True)
                self._open(rows)
        self.show(rows)

    def _open(self, rows: int) -> None:
        """Open for writing, and cut away what no commit stated."""
        for name, dtype in DTYPES.items():
            path = self._path(name)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            self._handles[name] = handle
            if os.fstat(handle).st_size > rows * dtype.itemsize:
                os.ftruncate(handle, rows * dtype.itemsize)
        sync_folder(self._folder)

    @property
    def is_writer(self) -> bool:
        """Whether the files were opened for writing."""
        return bool(self._handles)

    def write(self, name: str, rows: RowArray, values: NDArray[Any]) -> None:
        """Write values at rows that rise; runs of rows take one call each."""
        dtype = DTYPES[name]
        values = values.astype(dtype)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1).tolist()
        with file_errors(self._folder):
            for begin, end in zip(starts, [*starts[1:], len(rows)], strict=True):
                data = memoryview(values[begin:end].tobytes())
                offset = int(rows[begin]) * dtype.itemsize
                while data:
                    written = write_at(self._handles[name], data, offset)
                    data, offset = data[written:], offset + written

    def sync(self) -> None:
        """Make everything written durable, all files at once: the disk then waits only once."""
        if not self._handles:
            return
        with file_errors(self._folder), ThreadPoolExecutor(len(self._handles)) as pool:
            for _ in pool.map(os.fsync, self._handles.values()):
                pass

    def show(self, rows: int) -> None:
        """Map `rows` rows of every column."""
        maps = {name: self._map(name, dtype, rows) for name, dtype in DTYPES.items()}
        self.maps, self.rows = maps, rows

    def close(self) -> None:
        """Close the files; maps that are still in use keep their pages."""
        self.maps = {}
        while self._handles:
            os.close(self._handles.popitem()[1])

    def _map(self, name: str, dtype: np.dtype[Any], rows: int) -> NDArray[Any]:
        if rows == 0:
            return np.empty(0, dtype)
        path = self._path(name)
        try:
            whole = path.stat().st_size // dtype.itemsize
        except FileNotFoundError:
            whole = 0
        if whole < rows:
            raise IndexCorruptError(
                f"{path} holds {whole} of {rows} rows",
                hint="restore a backup, or index the pictures anew",
            )
        with file_errors(path):
            return np.asarray(np.memmap(path, dtype, "r", shape=(rows,)))

    def _path(self, name: str) -> Path:
        dtype = DTYPES[name]
        return self._folder / f"{name}.{dtype.kind}{dtype.itemsize}"


def fixed_values(records: Sequence[ImageRecord]) -> Mapping[str, NDArray[Any]]:
    """Return the columns' values for records, `(n,)` each."""
    facts = [record.facts for record in records]
    return {
        "kind": np.array(
            [
                KIND_NUMBERS.get(fact.kind, 0)
                | ANIMATED * fact.is_animated
                | TRANSPARENT * fact.is_transparent
                for fact in facts
            ],
            "<u1",
        ),
        "colors": np.array(
            [sum({COLOR_BITS.get(tag, 0) for tag in fact.color_tags}) for fact in facts], "<u2"
        ),
        "width": np.array([fact.width for fact in facts], "<u4"),
        "height": np.array([fact.height for fact in facts], "<u4"),
        "bytes": np.array([fact.bytes for fact in facts], "<u8"),
        **date_values(records),
    }


def date_values(records: Sequence[ImageRecord]) -> Mapping[str, NDArray[Any]]:
    """Return the two columns that a later source may change."""
    return {
        "taken": np.array(
            [r.first_seen if r.taken is None else r.taken for r in records], dtype="<f8"
        ),
        "seen": np.array([record.first_seen for record in records], "<f8"),
    }


def write_at(handle: int, data: memoryview, offset: int) -> int:
    """Write at a place of a file and return how many bytes were written."""
    if hasattr(os, "pwrite"):
        return os.pwrite(handle, data, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.write(handle, data)


@contextmanager
def file_errors(path: Path) -> Generator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(
                f"no space is left for {path}", hint="free some space and go on"
            ) from error
        raise StoreError(
            f"{path}: {error}", hint="check the folder, its rights and its disk"
        ) from error
