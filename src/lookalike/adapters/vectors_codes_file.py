"""A segment's file: the graph over its cells, the lists of codes, and what reads them.

    graph     Faiss's own format, from the first byte, so that Faiss maps it in place
    lists     per cell: blocks of 32 packed codes, then as many rows (int64)
    arrays    sizes and squared lengths of the cells, projection, codebook, upper cells
    directory JSON: offsets, shapes, figures of the training
    footer    checksum of arrays and directory, directory's length, format, magic

A file that is cut short has no footer. Everything large is memory-mapped.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from lookalike.adapters.vectors_codes import BLOCK_ROWS, ID_BLOCK_BYTES, pack_blocks
from lookalike.adapters.vectors_matrix import store_error, sync_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedWriter
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray

_FOOTER: Final = struct.Struct("<III4x8s")
_MAGIC: Final = b"LKALCOD\0"
_FORMAT: Final = 1
_ALIGN: Final = 64
_UNIT: Final = 32
_ID_BYTES: Final = 8
_CHUNK_ROWS: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class CodedRows:
    """`(n, code_bytes)` codes, `(n,)` rows and `(n,)` cells, in any order."""

    codes: NDArray[np.uint8]
    rows: RowArray
    owners: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class CodesFile:
    """What is read of a file when it is opened; lists are mapped from `lists_at` on."""

    path: str
    dim: int
    count: int
    lists_at: int
    bytes: int
    arrays: Mapping[str, NDArray[Any]]
    figures: Mapping[str, float]

    @property
    def code_bytes(self) -> int:
        """Bytes of a code."""
        return len(self.arrays["projection"]) // 4

    def list_table(self) -> NDArray[np.uint64]:
        """Return `(cells, 3)`: size, room and offset of each cell's list."""
        sizes = self.arrays["sizes"].astype(np.uint64)
        blocks = _blocks(sizes)
        step = np.uint64(self.code_bytes * BLOCK_ROWS + ID_BLOCK_BYTES)
        offsets = np.uint64(self.lists_at) + (np.cumsum(blocks) - blocks) * step
        return np.stack((sizes, blocks * np.uint64(BLOCK_ROWS), offsets), axis=1)

    def ids(self) -> tuple[NDArray[np.int64], RowArray]:
        """Map the lists as numbers, and return where the rows of each of `(cells,)` begin there."""
        table = self.list_table().astype(np.int64)
        behind = table[:, 2] - self.lists_at + table[:, 1] * self.code_bytes
        step = self.code_bytes * BLOCK_ROWS + ID_BLOCK_BYTES
        count = int(table[:, 1].sum()) // BLOCK_ROWS * step // _ID_BYTES
        if not count:
            return np.zeros(0, np.int64), behind
        mapped = np.memmap(self.path, "<i8", "r", self.lists_at, (count,))
        return np.asarray(mapped), behind // _ID_BYTES


def write_codes_file(
    path: Path,
    *,
    graph: NDArray[np.uint8],
    coded: CodedRows,
    arrays: Mapping[str, NDArray[Any]],
    figures: Mapping[str, float],
) -> int:
    """Write a segment's file, durable under its name only when whole; return its bytes.

    `arrays` holds `norms` `(cells,)` and `projection` `(dims, dim)` among others. Raises
    `DiskFullError` and leaves nothing when there is no room.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(graph.data)
            file.write(bytes(-file.tell() % _ALIGN))
            lists_at = file.tell()
            sizes = np.bincount(coded.owners, minlength=len(arrays["norms"])).astype(np.uint32)
            _write_lists(file, coded, sizes)
            _write_tail(file, lists_at, {**arrays, "sizes": sizes}, figures)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise store_error(error, path.name) from error
    return size


def read_codes_file(path: str) -> CodesFile:
    """Read the arrays of a file; raises `ValueError` for one that is cut short or foreign."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _FOOTER.size))
        footer = file.read()
        if len(footer) < _FOOTER.size or not footer.endswith(_MAGIC):
            raise ValueError("not a file of codes")
        checksum, length, version, _ = _FOOTER.unpack(footer)
        if version != _FORMAT:
            raise ValueError("codes of another format")
        file.seek(size - _FOOTER.size - length)
        directory = file.read(length)
        document = cast("dict[str, Any]", json.loads(directory))
        file.seek(document["arrays_at"])
        body = file.read(size - _FOOTER.size - length - document["arrays_at"])
    if zlib.crc32(directory, zlib.crc32(body)) != checksum:
        raise ValueError("codes whose checksum is wrong")
    arrays: dict[str, NDArray[Any]] = {}
    for name, (offset, kind, shape) in document["arrays"].items():
        flat = np.frombuffer(body, kind, int(np.prod(shape)), offset)
        arrays[name] = flat.reshape(shape)
    return CodesFile(
        path=path,
        dim=arrays["projection"].shape[1],
        count=int(arrays["sizes"].sum(dtype=np.int64)),
        lists_at=document["lists_at"],
        bytes=size,
        arrays=arrays,
        figures=document["figures"],
    )


def _write_tail(
    file: BufferedWriter,
    lists_at: int,
    arrays: Mapping[str, NDArray[Any]],
    figures: Mapping[str, float],
) -> None:
    entries: dict[str, object] = {}
    body = bytearray()
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        entries[name] = (len(body), little.dtype.str, array.shape)
        body += little.tobytes()
        body += bytes(-len(body) % _ALIGN)
    document = {
        "lists_at": lists_at,
        "arrays_at": file.tell(),
        "arrays": entries,
        "figures": dict(figures),
    }
    directory = json.dumps(document).encode()
    file.write(body)
    file.write(directory)
    checksum = zlib.crc32(directory, zlib.crc32(body))
    file.write(_FOOTER.pack(checksum, len(directory), _FORMAT, _MAGIC))


def _write_lists(file: BufferedWriter, coded: CodedRows, sizes: NDArray[np.uint32]) -> None:
    """Write the lists of all cells in order, some cells at a time."""
    order = np.argsort(coded.owners, kind="stable")
    ends = np.cumsum(sizes, dtype=np.int64)
    first = 0
    while first < len(sizes):
        begin = int(ends[first] - sizes[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + _CHUNK_ROWS)))
        chosen = order[begin : int(ends[last - 1])]
        file.write(_lists(coded, chosen, sizes[first:last].astype(np.int64)).data)
        first = last


def _lists(coded: CodedRows, chosen: RowArray, sizes: RowArray) -> NDArray[np.uint8]:
    """Return the bytes of some cells' lists; `chosen` are their entries, cell after cell."""
    blocks = _blocks(sizes)
    starts = np.cumsum(blocks) - blocks
    inside = np.arange(len(chosen)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.repeat(starts * BLOCK_ROWS, sizes) + inside
    total = int(blocks.sum())
    padded = np.zeros((total * BLOCK_ROWS, coded.codes.shape[1]), np.uint8)
    padded[places] = coded.codes[chosen]
    rows = np.zeros(total * BLOCK_ROWS, "<i8")
    rows[places] = coded.rows[chosen]
    packed = pack_blocks(padded.reshape(total, BLOCK_ROWS, -1))
    of_code, of_row = packed.shape[1] // _UNIT, ID_BLOCK_BYTES // _UNIT
    bases = np.repeat(starts * (of_code + of_row), blocks)
    within = np.arange(total) - np.repeat(starts, blocks)
    out = np.empty((total * (of_code + of_row), _UNIT), np.uint8)
    code_units = (bases + within * of_code)[:, None] + np.arange(of_code)
    out[code_units] = packed.reshape(total, of_code, _UNIT)
    row_units = (bases + np.repeat(blocks, blocks) * of_code + within * of_row)[:, None]
    out[row_units + np.arange(of_row)] = rows.view(np.uint8).reshape(total, of_row, _UNIT)
    return out


def _blocks(sizes: NDArray[Any]) -> NDArray[Any]:
    return (sizes + sizes.dtype.type(BLOCK_ROWS - 1)) // sizes.dtype.type(BLOCK_ROWS)
