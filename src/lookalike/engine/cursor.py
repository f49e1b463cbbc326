"""Cursors: a frozen list of ranked candidates, or a place in a listing, in one opaque string.

A page after the first never reorders: the first answer's ranking travels in the cursor, so any
replica can serve the next page. A cursor belongs to one query on one index.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import CursorError
from lookalike.ports.filters import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray

_HEADER: Final = struct.Struct("<cB8sIIq")
_SEEN: Final = struct.Struct("<d")
_MAGIC: Final = b"L"
_RANKED: Final = 1
_LISTING: Final = 2
_MOST_BYTES: Final = 1 << 16
_HINT: Final = "repeat the search without a cursor"


@dataclass(frozen=True, slots=True)
class RankedCursor:
    """A ranking and where the next page begins in it; `total` counts all its candidates."""

    rows: RowArray
    scores: NDArray[np.float32]
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class ListingCursor:
    """A listing, the newest first: the next page begins after `last`."""

    last: Place
    total: int


def fingerprint(*parts: str) -> bytes:
    """Return eight bytes that tell one query on one index from another."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()


def digest(data: bytes) -> str:
    """Return eight bytes' worth of hex digits for a picture given as bytes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest() if data else ""


def encode_cursor(cursor: RankedCursor | ListingCursor, owner: bytes) -> str:
    """Return the cursor as URL-safe text."""
    if isinstance(cursor, ListingCursor):
        header = _HEADER.pack(_MAGIC, _LISTING, owner, 0, cursor.total, cursor.last.row)
        body = header + _SEEN.pack(cursor.last.seen)
    else:
        left = cursor.rows[cursor.offset :]
        header = _HEADER.pack(
            _MAGIC, _RANKED, owner, len(left), cursor.total, cursor.total - len(left)
        )
        steps = np.diff(left.astype("<i8"), prepend=np.int64(0)).astype("<i8")
        scores = cursor.scores[cursor.offset :].astype("<f2")
        body = header + zlib.compress(_planes(steps) + scores.tobytes(), 6)
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode("ascii")


def decode_cursor(text: str, owner: bytes) -> RankedCursor | ListingCursor:
    """Read a cursor back; one that is malformed or of another query raises `CursorError`."""
    try:
        body = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        magic, kind, of, count, total, place = _HEADER.unpack_from(body)
        if magic != _MAGIC or kind not in {_RANKED, _LISTING}:
            raise ValueError("not a cursor")
        if of != owner:
            raise CursorError("the cursor belongs to another query", hint=_HINT)
        if kind == _LISTING:
            (seen,) = _SEEN.unpack(body[_HEADER.size :])
            return ListingCursor(Place(seen, place), total)
        return _ranked(body[_HEADER.size :], count, total)
    except (ValueError, struct.error, zlib.error, binascii.Error) as error:
        raise CursorError("the cursor cannot be read", hint=_HINT) from error


def _ranked(body: bytes, count: int, total: int) -> RankedCursor:
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(body, _MOST_BYTES)
    if len(raw) != count * 10 or unpacker.unconsumed_tail:
        raise ValueError("wrong length")
    planes = np.frombuffer(raw, dtype=np.uint8, count=count * 8).reshape(8, count)
    steps = np.ascontiguousarray(planes.T).view("<i8").reshape(-1)
    scores = np.frombuffer(raw, dtype="<f2", offset=count * 8)
    rows = np.cumsum(steps).astype(np.int64)
    return RankedCursor(rows, scores.astype(np.float32), 0, total)


def _planes(steps: NDArray[np.int64]) -> bytes:
    """Return the bytes of each significance together, which compresses small numbers well."""
    return steps.view(np.uint8).reshape(-1, 8).T.tobytes()
