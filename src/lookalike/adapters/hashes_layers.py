"""What a hash index is made of: segments that lose rows, and the tail that new rows join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.adapters.hashes_tables import scanned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.adapters.hashes_segment import Segment
    from lookalike.adapters.hashes_tables import Found
    from lookalike.domain.arrays import RowArray


class Layer:
    """A segment and a bit for each of its rows that is gone; bits are made when one is."""

    def __init__(self, segment: Segment, gone: NDArray[np.uint8] | None = None) -> None:
        self.segment = segment
        self.gone = gone
        self.gone_count = 0 if gone is None else int(np.bitwise_count(gone).sum())

    def __len__(self) -> int:
        """Return how many rows are left."""
        return len(self.segment) - self.gone_count

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.segment.nbytes + (0 if self.gone is None else self.gone.nbytes)

    def remove(self, rows: RowArray) -> None:
        """Mark those of `(n,)` distinct rows that are here as gone."""
        at = self.segment.find(rows)
        at = at[self._is_left(at)]
        if not len(at):
            return
        if self.gone is None:
            self.gone = np.zeros(-(-len(self.segment) // 8), np.uint8)
        np.bitwise_or.at(self.gone, at >> 3, np.uint8(1) << (at & 7).astype(np.uint8))
        self.gone_count += len(at)

    def near(
        self, hashes: NDArray[np.uint64], radius: int, most: int | None
    ) -> tuple[NDArray[np.intp], RowArray, NDArray[np.uint8]]:
        """Return queries' numbers, rows and distances; at least the nearest `most` of each."""
        cap = None if most is None else most + self.gone_count
        found = self.segment.near(hashes, radius, cap)
        queries, places, distances = found.queries, found.places, found.distances
        if self.gone_count:
            is_left = self._is_left(places)
            queries, places, distances = queries[is_left], places[is_left], distances[is_left]
        return queries, self.segment.rows_at(places), distances

    def left(self) -> tuple[RowArray, NDArray[np.uint64]]:
        """Return the rows that are left, rising, and their hashes."""
        places, hashes = self.segment.listed()
        by_place = np.empty(len(places), np.uint64)
        by_place[places] = hashes
        rows = self.segment.rows_at(np.arange(len(by_place)))
        if not self.gone_count:
            return rows, by_place
        is_left = self._is_left(np.arange(len(by_place)))
        return rows[is_left], by_place[is_left]

    def frozen(self) -> Layer:
        """Return the same as it is now, whatever is removed later."""
        return Layer(self.segment, None if self.gone is None else self.gone.copy())

    def gone_since(self, before: Layer) -> RowArray:
        """Return the rows that were removed since this was frozen."""
        if self.gone is None:
            return np.zeros(0, np.int64)
        new = self.gone if before.gone is None else self.gone & ~before.gone
        octets = np.flatnonzero(new)
        is_new = np.unpackbits(new[octets, None], axis=1, bitorder="little").astype(np.bool_)
        return self.segment.rows_at((8 * octets[:, None] + np.arange(8))[is_new])

    def _is_left(self, at: NDArray[np.intp]) -> NDArray[np.bool_]:
        if self.gone is None:
            return np.ones(len(at), np.bool_)
        return (self.gone[at >> 3] >> (at & 7).astype(np.uint8)) & 1 == 0


class Tail:
    """Up to `room` rows in the order they came. Searches see the first `size` places.

    A place is written before it counts and never again, so that a search needs no lock.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self.size = 0
        self._rows = np.empty(room, np.int64)
        self._hashes = np.empty(room, np.uint64)
        self._is_left = np.zeros(room, np.bool_)
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        """Return how many rows are left."""
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """Bytes of memory, without what finds a row's place."""
        return self._rows.nbytes + self._hashes.nbytes + self._is_left.nbytes

    def add(self, rows: RowArray, hashes: NDArray[np.uint64]) -> None:
        """Take rows that are not here; there must be room."""
        end = self.size + len(rows)
        self._rows[self.size : end] = rows
        self._hashes[self.size : end] = hashes
        self._is_left[self.size : end] = True
        self._places.update(zip(rows.tolist(), range(self.size, end), strict=True))
        self.size = end

    def remove(self, rows: RowArray) -> None:
        """Forget rows; unknown ones do nothing."""
        if not self._places:
            return
        for row in rows.tolist():
            place = self._places.pop(row, None)
            if place is not None:
                self._is_left[place] = False

    def near(
        self, hashes: NDArray[np.uint64], radius: int
    ) -> tuple[NDArray[np.intp], RowArray, NDArray[np.uint8]]:
        """Return queries' numbers, rows and distances, by comparing with every hash."""
        found: Found = scanned(self._hashes[: self.size], hashes, radius)
        is_left = self._is_left[found.places]
        return (
            found.queries[is_left],
            self._rows[found.places[is_left]],
            found.distances[is_left],
        )

    def left(self) -> tuple[RowArray, NDArray[np.uint64]]:
        """Return the rows that are left and their hashes."""
        is_left = np.flatnonzero(self._is_left[: self.size])
        return self._rows[is_left], self._hashes[is_left]
