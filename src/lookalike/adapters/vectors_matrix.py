"""The durable copy of every vector: one file of half-precision rows, memory-mapped to read.

Layout of `matrix.f16`: a 64-byte header (magic, format version, dim), then row after row
of `dim` little-endian fp16 numbers; the row's position in the file is its row in the index.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.adapters.vectors_erase import erase
from lookalike.domain.errors import (
    DiskFullError,
    IndexCorruptError,
    IndexFormatError,
    IndexMissingError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

HalfMatrix: TypeAlias = NDArray[np.float16]
"""`(rows, dim)` float16, usually a read-only memory map."""

MATRIX_FILE: Final = "matrix.f16"
HEADER_BYTES: Final = 64
_HEADER: Final = struct.Struct("<8sII")
_MAGIC: Final = b"LKALVEC\0"
_FORMAT: Final = 1
_FIRST: Final = 8
_WARM_S: Final = 5e-6
"""Seconds a row, in memory and asked for; from the fastest disk it takes several times as long."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """The part of the matrix that a segment covers.

    `halves` is `(rows, dim)` and starts at row `begin`; `live` is `(rows,)`, False where a
    row is removed or a hole.
    """

    halves: HalfMatrix
    begin: int
    live: BoolMask

    def wide(self, rows: RowArray) -> FloatMatrix:
        """Return `(n, dim)` float32 vectors of rows counted from `begin`."""
        return np.asarray(self.halves)[rows].astype(np.float32)


def store_error(error: OSError, what: str) -> StoreError:
    """Return our error for an operating system's: a full disk or a store that fails."""
    if error.errno in _FULL:
        return DiskFullError(
            f"no space is left to write {what}", hint="free some space, then run the command again"
        )
    return StoreError(f"cannot write {what}: {error.strerror or error}")


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write every byte at an offset; `os.pwrite` may stop short."""
    view = memoryview(data).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Make names created or replaced in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Replace a file as a whole: a temporary name, fsync, rename, fsync of the folder."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise store_error(error, path.name) from error


def map_matrix(path: Path, *, dim: int, rows: int, is_scattered: bool = False) -> HalfMatrix:
    """Map the first `rows` rows of a matrix file to read; no row is read yet.

    A map for scattered rows reads nothing ahead: a fault then costs its page, not those around.

    Raises `IndexCorruptError` for a foreign header, another dim or a file that is shorter.
    """
    if rows == 0:
        return np.zeros((0, dim), np.float16)
    try:
        with path.open("rb") as file:
            _check_header(file.read(HEADER_BYTES), path, dim)
            has_rows = (os.fstat(file.fileno()).st_size - HEADER_BYTES) // (2 * dim)
            if has_rows < rows:
                raise IndexCorruptError(
                    f"{path.name} holds {has_rows} vectors, the catalog counts {rows}",
                    hint="restore the index from a backup, or index the pictures again",
                )
            mapped = np.memmap(file, np.dtype("<f2"), "r", HEADER_BYTES, (rows, dim))
            if is_scattered and (pages := _pages_of(mapped)) is not None:
                pages.madvise(mmap.MADV_RANDOM)
            return mapped
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror or error}") from error


def zero_rows(matrix: HalfMatrix, *, block: int = 4096) -> RowArray:
    """Return the rows whose vectors are all zeros, reading the matrix in blocks."""
    found = [np.zeros(0, np.int64)]
    for begin in range(0, len(matrix), block):
        halves = matrix[begin : begin + block]
        likely = np.flatnonzero(~halves[:, :_FIRST].any(axis=1))
        found.append(begin + likely[~halves[likely].any(axis=1)])
    return np.concatenate(found)


@dataclass(slots=True)
class RowReader:
    """Copies scattered rows of a mapped matrix, and asks the disk for all at once when it must.

    Asking takes about 1 µs a row, which is only worth it while rows are not in memory: so it
    begins by asking, and goes on while reading is as slow as a disk. Of no consequence when
    threads change `is_cold` beside each other.
    """

    is_cold: bool = True

    def read(self, matrix: HalfMatrix, rows: RowArray) -> HalfMatrix:
        """Return the `(n, dim)` rows, best given rising."""
        began = time.perf_counter()
        if self.is_cold:
            _prefetch(matrix, rows)
        found = np.asarray(matrix).take(rows, axis=0)  # half the time of an index
        self.is_cold = time.perf_counter() - began > _WARM_S * len(rows)
        return found


def _prefetch(matrix: HalfMatrix, rows: RowArray) -> None:
    """Ask the system to read the pages of some rows, without waiting for any."""
    pages = _pages_of(matrix)
    if pages is None:
        return
    at = matrix.ctypes.data - np.frombuffer(pages, np.uint8).ctypes.data
    width = matrix.strides[0]
    begins = (at + rows * width) // mmap.PAGESIZE * mmap.PAGESIZE
    lengths = at + (rows + 1) * width - begins
    for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
        pages.madvise(mmap.MADV_WILLNEED, begin, length)


def _pages_of(matrix: HalfMatrix) -> mmap.mmap | None:
    """Return the memory map that a matrix is a view of, where the system can be advised of it."""
    found = getattr(matrix, "_mmap", None)
    return found if isinstance(found, mmap.mmap) and hasattr(found, "madvise") else None


def _missing(path: Path) -> IndexMissingError:
    return IndexMissingError(f"{path.name} is missing", hint="restore the index from a backup")


def _check_header(header: bytes, path: Path, dim: int) -> None:
    if len(header) < HEADER_BYTES or not header.startswith(_MAGIC):
        raise IndexCorruptError(
            f"{path.name} is not a matrix of vectors", hint="restore the index from a backup"
        )
    _, version, has_dim = _HEADER.unpack_from(header)
    if version > _FORMAT:
        raise IndexFormatError(
            f"{path.name} has format {version}, this version reads up to {_FORMAT}",
            hint="upgrade Lookalike",
        )
    if has_dim != dim:
        raise IndexCorruptError(
            f"{path.name} holds vectors of {has_dim} numbers, the index says {dim}",
            hint="open the index with the encoder that filled it",
        )


class MatrixWriter:
    """Appends rows to a matrix file; the one process that writes holds it open."""

    def __init__(self, path: Path, *, dim: int, rows: int) -> None:
        """Open or create the file and cut it back to the `rows` that are committed."""
        self._path = path
        self._dim = dim
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | (os.O_CREAT if rows == 0 else 0)
            self._descriptor = os.open(path, flags, 0o644)
        except FileNotFoundError as error:
            raise _missing(path) from error
        except OSError as error:
            raise store_error(error, path.name) from error
        try:
            self._start(rows)
        except OSError as error:
            self.close()
            raise store_error(error, path.name) from error
        except StoreError:
            self.close()
            raise

    @property
    def rows(self) -> int:
        """How many rows the file has, committed or not."""
        return self._rows

    def write(self, rows: RowArray, vectors: FloatMatrix) -> None:
        """Write vectors at their rows; skipped rows before them become holes.

        A full disk raises `DiskFullError` and the file is as long as before.
        """
        halves = vectors.astype("<f2")
        try:
            for begin, end in _runs(rows):
                write_all(self._descriptor, halves[begin:end].data, self._offset(int(rows[begin])))
        except OSError as error:
            os.ftruncate(self._descriptor, self._offset(self._rows))
            raise store_error(error, self._path.name) from error
        self._rows = max(self._rows, int(rows.max(initial=-1)) + 1)

    def erase(self, rows: RowArray) -> None:
        """Make rising rows holes for good, and give the disk back what lay in whole blocks."""
        try:
            for begin, end in _runs(rows):
                offset = self._offset(int(rows[begin]))
                erase(self._descriptor, offset, (end - begin) * 2 * self._dim)
        except OSError as error:
            raise store_error(error, self._path.name) from error

    def sync(self) -> None:
        """Make every written row durable."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise store_error(error, self._path.name) from error

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _offset(self, row: int) -> int:
        return HEADER_BYTES + row * 2 * self._dim

    def _start(self, rows: int) -> None:
        size = os.fstat(self._descriptor).st_size
        if size < HEADER_BYTES and rows == 0:
            header = _HEADER.pack(_MAGIC, _FORMAT, self._dim).ljust(HEADER_BYTES, b"\0")
            write_all(self._descriptor, header, 0)
            os.fsync(self._descriptor)
            sync_folder(self._path.parent)
        _check_header(os.pread(self._descriptor, HEADER_BYTES, 0), self._path, self._dim)
        size = os.fstat(self._descriptor).st_size
        if size < self._offset(rows):
            has_rows = (size - HEADER_BYTES) // (2 * self._dim)
            raise IndexCorruptError(
                f"{self._path.name} holds {has_rows} vectors, the catalog counts {rows}",
                hint="restore the index from a backup, or index the pictures again",
            )
        if size > self._offset(rows):
            os.ftruncate(self._descriptor, self._offset(rows))
            os.fsync(self._descriptor)
        self._rows = rows


def _runs(rows: RowArray) -> Iterator[tuple[int, int]]:
    """Yield the `[begin, end)` positions of consecutive rows, so that each is one write."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    begin = 0
    for end in (*breaks.tolist(), len(rows)):
        if end > begin:
            yield begin, end
        begin = end
