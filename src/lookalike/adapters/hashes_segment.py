"""One segment of a hash index: the rows of distinct hashes, never changed.

What the tables find is a hash; its rows are looked up in the order of the first table. A hash
that a thousand flat pictures share is therefore compared once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from lookalike.adapters.hashes_balls import best_count
from lookalike.adapters.hashes_tables import Found, HashTables

if TYPE_CHECKING:
    from lookalike.domain.arrays import RowArray

MOST_ROWS: Final = 1 << 29
"""So many in one segment, so that lines of all its tables are counted in 32 bits."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Hashes of rows, each row once.

    `rows` rise; they are uint32 where they fit, or None where they are `first_row`, the next
    one and so on. `places` lists them, as positions, in the order of the hashes. Of the distinct
    hashes, those numbered `shared` have more than one row; `extra[i]` is how many rows
    more than one the first i of them have.
    """

    tables: HashTables
    places: NDArray[np.uint32]
    rows: NDArray[np.uint32] | NDArray[np.int64] | None
    first_row: int
    shared: NDArray[np.uint32]
    extra: NDArray[np.uint32]

    @classmethod
    def build(
        cls, rows: RowArray, hashes: NDArray[np.uint64], *, substrings: int | None = None
    ) -> Segment:
        """Return a segment of `(n,)` distinct rows, n > 0; bits are in the index's order."""
        if (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows)
            rows, hashes = rows[order], hashes[order]
        places, values = _sorted_with_places(hashes)
        is_new = np.empty(len(values), np.bool_)
        is_new[0] = True
        np.not_equal(values[1:], values[:-1], out=is_new[1:])
        shared = extra = np.zeros(0, np.uint32)
        if not is_new.all():
            begins = np.flatnonzero(is_new)
            more = np.diff(begins, append=len(values)) - 1
            shared = np.flatnonzero(more).astype(np.uint32)
            extra = more[shared].cumsum().astype(np.uint32)
            values = values[begins]
        tables = HashTables.build(values, substrings or best_count(len(values)))
        extra = np.concatenate((np.zeros(1, np.uint32), extra))
        return cls(tables, places, _compact(rows), int(rows[0]), shared, extra)

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.places)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        own = self.places.nbytes + self.shared.nbytes + self.extra.nbytes
        return self.tables.nbytes + own + (0 if self.rows is None else self.rows.nbytes)

    def near(self, hashes: NDArray[np.uint64], radius: int, cap: int | None = None) -> Found:
        """Return the positions of rows within the radius of each of `(n,)` queries.

        Of rows that share a hash, the first `cap`.
        """
        return self._positions(self.tables.near(hashes, radius), cap)

    def _positions(self, found: Found, cap: int | None) -> Found:
        """Return the same with each hash replaced by the positions of its rows."""
        after = np.searchsorted(self.shared, found.places)
        starts = found.places + self.extra[after]
        if not len(self.shared):
            return Found(found.queries, self.places[starts].astype(np.intp), found.distances)
        up_to = np.searchsorted(self.shared, found.places, side="right")
        counts = 1 + (self.extra[up_to] - self.extra[after]).astype(np.intp)
        if cap is not None:
            np.minimum(counts, cap, out=counts)
        ends = counts.cumsum()
        each = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(
            starts.astype(np.intp) - ends + counts, counts
        )
        return Found(
            np.repeat(found.queries, counts),
            self.places[each].astype(np.intp),
            np.repeat(found.distances, counts),
        )

    def rows_at(self, positions: NDArray[np.intp]) -> RowArray:
        """Return the rows at positions."""
        if self.rows is None:
            return positions + np.int64(self.first_row)
        return self.rows[positions].astype(np.int64)

    def find(self, rows: RowArray) -> NDArray[np.intp]:
        """Return the positions of those of `(n,)` rows that are here."""
        if self.rows is None:
            at = rows - self.first_row
            return at[(at >= 0) & (at < len(self))].astype(np.intp)
        rows = rows[(rows >= self.first_row) & (rows <= int(self.rows[-1]))]
        wanted = rows.astype(self.rows.dtype)
        at = np.searchsorted(self.rows, wanted)
        return at[self.rows[at] == wanted]

    def listed(self) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
        """Return every position and its hash, in the order of the hashes."""
        counts = np.ones(self.tables.count, np.intp)
        counts[self.shared] += np.diff(self.extra).astype(np.intp)
        return self.places.astype(np.intp), np.repeat(self.tables.values, counts)


def _sorted_with_places(
    hashes: NDArray[np.uint64],
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Return the positions of `(n,)` hashes in rising order, and the hashes so.

    NumPy sorts numbers several times faster than positions of numbers. So each hash's lowest
    bits give way to its position, and what those bits would have told apart is sorted after.
    """
    low = np.uint64((1 << max(1, int(len(hashes) - 1).bit_length())) - 1)
    keys = (hashes & ~low) | np.arange(len(hashes), dtype=np.uint64)
    keys.sort()
    order = (keys & low).astype(np.uint32)
    keys &= ~low
    is_like_next = keys[1:] == keys[:-1]
    del keys
    values = hashes[order]
    if is_like_next.any():
        is_tied = np.zeros(len(values), np.bool_)
        is_tied[1:] |= is_like_next
        is_tied[:-1] |= is_like_next
        tied = np.flatnonzero(is_tied)
        again = tied[np.argsort(values[tied], kind="stable")]
        order[tied], values[tied] = order[again], values[again]
    return order, values


def _compact(rows: RowArray) -> NDArray[np.uint32] | NDArray[np.int64] | None:
    if int(rows[-1]) - int(rows[0]) == len(rows) - 1:
        return None
    return rows.astype(np.uint32) if int(rows[0]) >= 0 and int(rows[-1]) < 1 << 32 else rows
