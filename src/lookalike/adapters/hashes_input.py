"""What is asked of hashes and of a radius before a hash index takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.errors import StoreError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray


def checked_hashes(
    rows: RowArray, hashes: NDArray[np.uint64]
) -> tuple[RowArray, NDArray[np.uint64]]:
    """Return distinct rows and the last hash of each, or raise before anything changes."""
    rows, hashes = np.asarray(rows, np.int64), np.asarray(hashes)
    if rows.ndim != 1 or rows.shape != hashes.shape or (rows < 0).any():
        raise StoreError("rows and hashes do not pair, or a row is negative", hint="report a bug")
    if len(rows) and hashes.dtype != np.uint64:
        raise StoreError(f"hashes are {hashes.dtype}, not uint64", hint="report a bug")
    if (rows[1:] > rows[:-1]).all():
        return rows, hashes.astype(np.uint64, copy=False)
    rows, last = np.unique(rows[::-1], return_index=True)
    return rows, hashes[::-1][last]


def check_radius(radius: int, most: int | None) -> None:
    """Raise `UsageError` for a radius or a number of answers that cannot be."""
    if radius < 0 or (most is not None and most < 1):
        raise UsageError("a radius is at least 0 bits, and `most` at least 1")
