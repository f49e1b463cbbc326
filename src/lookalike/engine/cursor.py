"""Cursors: a frozen ranking, a place behind it, or a place in a listing, in one opaque string.

A page after the first never reorders: the first answer's ranking travels in the cursor, and where
it ends, the pages behind go by what never changes (`engine/deep.py`). So any replica can serve the
next page. A cursor belongs to one query on one index.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import CursorError
from lookalike.ports.filters import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray

_HEADER: Final = struct.Struct("<cB8sIIIIqdf")
_MAGIC: Final = b"L"
_LISTING: Final = 2
_RANKED: Final = 3
_DEEP: Final = 4
_NOTHING_BEHIND: Final = -1
_MOST_BYTES: Final = 1 << 18
_HINT: Final = "repeat the search without a cursor"
_LONG: Final = 8
_RANKED_BYTES: Final = 10


def _no_rows() -> RowArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class RankedCursor:
    """A ranking and where the next page begins in it; `total` counts all its candidates.

    `horizon` is None where nothing lies behind the ranking. Else rows below it do, and `seen` are
    those of them that the ranking gave on earlier pages or left out.
    """

    rows: RowArray
    scores: NDArray[np.float32]
    offset: int
    total: int
    seen: RowArray = field(default_factory=_no_rows)
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class DeepCursor:
    """A place behind a ranking: what comes next has at most the cosine `last`.

    `seen` are rows of the ranking, `edge` rows given since whose cosine is about `last`; `given`
    counts all of these. `floor` is the score that the ranking ended with.
    """

    last: float
    floor: float
    seen: RowArray
    edge: RowArray
    given: int
    total: int
    horizon: int


@dataclass(frozen=True, slots=True)
class ListingCursor:
    """A listing, the newest first: the next page begins after `last`."""

    last: Place
    total: int


Cursor = RankedCursor | DeepCursor | ListingCursor


def fingerprint(*parts: str) -> bytes:
    """Return eight bytes that tell one query on one index from another."""
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()


def digest(data: bytes) -> str:
    """Return eight bytes' worth of hex digits for a picture given as bytes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest() if data else ""


def encode_cursor(cursor: Cursor, owner: bytes) -> str:
    """Return the cursor as URL-safe text."""
    if isinstance(cursor, ListingCursor):
        body = _HEADER.pack(
            _MAGIC, _LISTING, owner, 0, 0, cursor.total, 0, cursor.last.row, cursor.last.seen, 0.0
        )
    elif isinstance(cursor, DeepCursor):
        header = _HEADER.pack(
            _MAGIC, _DEEP, owner, len(cursor.edge), len(cursor.seen), cursor.total, cursor.given,
            cursor.horizon, cursor.last, cursor.floor,
        )  # fmt: skip
        body = header + zlib.compress(_packed(np.sort(cursor.edge)) + _packed(cursor.seen), 6)
    else:
        left = cursor.rows[cursor.offset :]
        horizon = _NOTHING_BEHIND if cursor.horizon is None else cursor.horizon
        given = cursor.total - len(left)
        header = _HEADER.pack(
            _MAGIC, _RANKED, owner, len(left), len(cursor.seen), cursor.total, max(0, given),
            horizon, 0.0, 0.0,
        )  # fmt: skip
        scores = cursor.scores[cursor.offset :].astype("<f2").tobytes()
        body = header + zlib.compress(_packed(left) + _packed(cursor.seen) + scores, 6)
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode("ascii")


def decode_cursor(text: str, owner: bytes) -> Cursor:
    """Read a cursor back; one that is malformed or of another query raises `CursorError`."""
    try:
        body = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        magic, kind, of, first, seen, total, given, number, last, floor = _HEADER.unpack_from(body)
        if magic != _MAGIC or kind not in {_RANKED, _LISTING, _DEEP}:
            raise ValueError("not a cursor")
        if of != owner:
            raise CursorError("the cursor belongs to another query", hint=_HINT)
        if kind == _LISTING:
            return ListingCursor(Place(last, number), total)
        width = _RANKED_BYTES if kind == _RANKED else _LONG
        raw = _inflated(body[_HEADER.size :], first * width + seen * _LONG)
        rows, known = _unpacked(raw, 0, first), _unpacked(raw, first * _LONG, seen)
        if kind == _DEEP:
            return DeepCursor(last, floor, known, rows, given, total, number)
        scores = np.frombuffer(raw, dtype="<f2", offset=(first + seen) * _LONG)
        horizon = None if number == _NOTHING_BEHIND else number
        return RankedCursor(rows, scores.astype(np.float32), 0, total, known, horizon)
    except (ValueError, struct.error, zlib.error, binascii.Error) as error:
        raise CursorError("the cursor cannot be read", hint=_HINT) from error


def _inflated(body: bytes, size: int) -> bytes:
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(body, _MOST_BYTES)
    if len(raw) != size or unpacker.unconsumed_tail:
        raise ValueError("wrong length")
    return raw


def _packed(rows: RowArray) -> bytes:
    """Return the differences of rows, the bytes of each significance together: they are small."""
    steps = np.diff(rows.astype("<i8"), prepend=np.int64(0)).astype("<i8")
    return steps.view(np.uint8).reshape(-1, _LONG).T.tobytes()


def _unpacked(raw: bytes, offset: int, count: int) -> RowArray:
    planes = np.frombuffer(raw, dtype=np.uint8, count=count * _LONG, offset=offset)
    steps = np.ascontiguousarray(planes.reshape(_LONG, count).T).view("<i8").reshape(-1)
    return np.cumsum(steps).astype(np.int64)
