"""A hash index in one file: a header that lists arrays, and the arrays, ready to be mapped.

    8 bytes  magic     4 bytes  length of the header     4 bytes  its CRC-32
    header   JSON      arrays   each at a multiple of 4096; all numbers are little-endian

The file is derived: a catalog can always fill an index anew.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from lookalike.adapters.hashes_segment import Segment
from lookalike.adapters.hashes_tables import HashTables
from lookalike.domain.errors import (
    IndexCorruptError,
    IndexFormatError,
    IndexMissingError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray

FORMAT: Final = 1
_MAGIC: Final = b"LKHASHES"
_PAGE: Final = 4096
_MOST_HEADER: Final = 1 << 20
_ANEW: Final = "delete it: the index is made anew from the catalog"


@dataclass(frozen=True, slots=True)
class SavedIndex:
    """Segments with the bits of rows that are gone, rows and hashes of the tail, and a number."""

    layers: Sequence[tuple[Segment, NDArray[np.uint8] | None]]
    tail: tuple[RowArray, NDArray[np.uint64]]
    seq: int


def write_index(path: Path, saved: SavedIndex) -> None:
    """Write the file beside itself and put it in its place; raises `StoreError`."""
    arrays: dict[str, NDArray[Any]] = {"tail.rows": saved.tail[0], "tail.hashes": saved.tail[1]}
    layers: list[dict[str, int]] = []
    for at, (segment, gone) in enumerate(saved.layers):
        named = _arrays_of(segment)
        if gone is not None:
            named["gone"] = gone
        arrays |= {f"{at}.{name}": array for name, array in named.items()}
        tables = segment.tables
        layers.append(
            {
                "count": tables.count,
                "substrings": tables.substrings,
                "first_row": segment.first_row,
            }
        )
    listed: dict[str, tuple[str, list[int], int]] = {}
    offset = 0
    for name, array in arrays.items():
        listed[name] = (array.dtype.newbyteorder("<").str, list(array.shape), offset)
        offset += -(-array.nbytes // _PAGE) * _PAGE
    about = {
        "format": FORMAT,
        "seq": saved.seq,
        "bytes": offset,
        "layers": layers,
        "arrays": listed,
    }
    head = json.dumps(about).encode()
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            file.write(_MAGIC + _numbers(head) + head)
            begin = _first_page(len(head))
            for name, array in arrays.items():
                file.seek(begin + listed[name][2])
                array.astype(array.dtype.newbyteorder("<"), copy=False).tofile(file)
            file.truncate(begin + offset)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{path} cannot be written: {error}", hint="free some space, or check permissions"
        ) from error


def read_index(path: Path) -> SavedIndex:
    """Map a file; raises `IndexMissingError`, `IndexFormatError` or `IndexCorruptError`."""
    about, begin = _header(path)
    arrays = {
        name: _mapped(path, dtype, tuple(shape), begin + offset)
        for name, (dtype, shape, offset) in about["arrays"].items()
    }
    layers: list[tuple[Segment, NDArray[np.uint8] | None]] = []
    for at, layer in enumerate(about["layers"]):
        lead = f"{at}."
        mine = {name[len(lead) :]: array for name, array in arrays.items() if name.startswith(lead)}
        layers.append(_layer(mine, layer))
    tail = (np.array(arrays["tail.rows"]), np.array(arrays["tail.hashes"]))
    return SavedIndex(layers, tail, int(about["seq"]))


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Return what the header says and where the arrays begin; the file is as long as it says."""
    try:
        with path.open("rb") as file:
            lead = file.read(16)
            head = file.read(min(int.from_bytes(lead[8:12], "little"), _MOST_HEADER))
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise IndexMissingError(f"there is no {path}", hint="it is made on demand") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}", hint="check permissions") from error
    damaged = IndexCorruptError(f"{path} is not a whole hash index", hint=_ANEW)
    if lead != _MAGIC + _numbers(head):
        raise damaged
    about = cast("dict[str, Any]", json.loads(head))
    if about["format"] != FORMAT:
        raise IndexFormatError(
            f"{path} has format {about['format']}, not {FORMAT}", hint="update, or delete it"
        )
    if size != _first_page(len(head)) + about["bytes"]:
        raise damaged
    return about, _first_page(len(head))


def _numbers(head: bytes) -> bytes:
    return len(head).to_bytes(4, "little") + zlib.crc32(head).to_bytes(4, "little")


def _first_page(header: int) -> int:
    return -(-(16 + header) // _PAGE) * _PAGE


def _mapped(path: Path, dtype: str, shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.asarray(np.memmap(path, dtype, "r", offset=offset, shape=shape))


def _arrays_of(segment: Segment) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {
        "places": segment.places,
        "shared": segment.shared,
        "extra": segment.extra,
        "lines": segment.tables.lines,
        "starts": segment.tables.starts,
    }
    return named if segment.rows is None else {**named, "rows": segment.rows}


def _layer(
    arrays: Mapping[str, NDArray[Any]], about: Mapping[str, int]
) -> tuple[Segment, NDArray[np.uint8] | None]:
    tables = HashTables(
        int(about["count"]), int(about["substrings"]), arrays["lines"], arrays["starts"]
    )
    segment = Segment(
        tables,
        arrays["places"],
        arrays.get("rows"),
        int(about["first_row"]),
        arrays["shared"],
        arrays["extra"],
    )
    gone = arrays.get("gone")
    return segment, None if gone is None else np.array(gone)
