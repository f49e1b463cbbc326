"""A cluster's hash index: any vector index of 64 numbers, the signs of which are the bits.

A hash stands there as a unit vector of ±1/8, which fp16 holds exactly. Two hashes b bits apart
have a cosine of 1 - b / 32, so that the nearest by cosine are the nearest by bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.hashes_input import check_radius, checked_hashes
from lookalike.domain.hits import NO_ROW
from lookalike.ports.hashes import HashHits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.hits import RowHits
    from lookalike.ports.vectors import VectorIndex

DIM: Final = 64
"""Numbers of a hash's vector: one a bit."""

_SIDE: Final = np.float32(0.125)
_LEAN: Final = 1 / 128
"""How much more a bit may weigh than another: all 64 together less than half a bit."""

_FIRST: Final = 64
_GROWTH: Final = 4
_BEYOND: Final = DIM + 1


class VectorHashIndex:
    """`HashStore` over a `VectorIndex` of its own (a Milvus collection, a Pinecone index).

    It finds what the vector index finds: everything where that compares every vector, most where
    it looks into a few cells (measured in ADR 0028); what it finds has the right distance. No
    answer holds more rows than the vector index returns hits: 16,384 of Milvus, 10,000 of
    Pinecone.

    A query leans: each bit weighs a little more than the next, too little to change the order of
    whole distances. Without that nearly every query would end in the middle of a tie, which
    vector indexes that keep their ties in order look at to its end, one query after another.
    """

    def __init__(self, vectors: VectorIndex) -> None:
        """Take over the index."""
        self._vectors = vectors
        weights = 1 + _LEAN * np.random.default_rng(DIM).random(DIM)
        self._norm = float(np.linalg.norm(weights * _SIDE))
        self._weights = (weights / self._norm).astype(np.float32)
        self._best = float(weights.sum() / DIM)

    @property
    def exact_radius(self) -> int:
        """Every radius while no row is searched through an approximate index, else none (-1)."""
        return -1 if self._vectors.stats().sealed_rows else DIM

    def __len__(self) -> int:
        """Return how many hashes can be found."""
        return len(self._vectors)

    def add(self, rows: RowArray, hashes: NDArray[np.uint64]) -> None:
        """Add or replace the hashes of `(n,)` rows; durable when this returns."""
        rows, hashes = checked_hashes(rows, hashes)
        if len(rows):
            self._vectors.add(rows, _vectors_of(hashes))
            self._vectors.flush()

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether its hash can be found."""
        rows = np.asarray(rows, np.int64)
        return self._vectors.has(rows) if len(rows) else np.zeros(0, np.bool_)

    def remove(self, rows: RowArray) -> None:
        """Forget rows; unknown ones do nothing."""
        rows = np.asarray(rows, np.int64)
        if len(rows):
            self._vectors.remove(rows)
            self._vectors.flush()

    def within(
        self, hashes: NDArray[np.uint64], *, radius: int, most: int | None = None
    ) -> Sequence[HashHits]:
        """Return, for each of `(n,)` hashes, the rows within so many bits, or the nearest `most`.

        One search for all of them; those with more to tell are asked again together, for four
        times as many. Nearest first, ties by row. Raises `UsageError` for a negative radius.
        """
        check_radius(radius, most)
        queries = _vectors_of(np.asarray(hashes, np.uint64)) * self._weights
        found: dict[int, HashHits] = {}
        left, k = np.arange(len(queries)), _FIRST if most is None else most + 1
        while len(left):
            hits = self._vectors.search(queries[left], k=k)
            distances = self._distances(hits)
            farthest = np.full(len(left), min(radius, DIM))
            if most is not None and distances.shape[1] >= most:
                farthest = np.minimum(farthest, distances[:, most - 1])
            is_full = distances.shape[1] >= k
            has_more = (
                distances[:, -1] <= farthest if is_full else np.zeros(len(left), dtype=np.bool_)
            )
            for at in np.flatnonzero(~has_more).tolist():
                found[int(left[at])] = _nearest(hits.rows[at], distances[at], radius, most)
            left, k = left[has_more], k * _GROWTH
        return [found[at] for at in range(len(queries))]

    def optimize(self) -> None:
        """Let the store put its house in order."""
        self._vectors.optimize()

    def close(self) -> None:
        """Release connections."""
        self._vectors.close()

    def _distances(self, hits: RowHits) -> NDArray[np.uint8]:
        """Return the bits that differ, and more than there are where there is no hit.

        What a query leans by adds less than half a bit to a distance, and rounding next to none.
        """
        lost = (self._best - np.where(hits.rows == NO_ROW, 0, hits.scores) * self._norm) * DIM / 2
        bits = np.floor(lost + 0.25)
        return np.where(hits.rows == NO_ROW, _BEYOND, bits).astype(np.uint8)


def _vectors_of(hashes: NDArray[np.uint64]) -> FloatMatrix:
    """Return `(n, 64)` unit vectors of `(n,)` hashes, the highest bit first."""
    octets = hashes.astype(">u8").view(np.uint8).reshape(len(hashes), 8)
    return np.where(np.unpackbits(octets, axis=1) == 1, _SIDE, -_SIDE)


def _nearest(
    rows: RowArray, distances: NDArray[np.uint8], radius: int, most: int | None
) -> HashHits:
    order = np.lexsort((rows, distances))
    order = order[distances[order] <= min(radius, DIM)][:most]
    return HashHits(rows[order], distances[order])
