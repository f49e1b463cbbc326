"""Whether new rows still fit the cells that older ones trained: then these are taken over.

Training and coding are most of what a merge costs. Rows unlike the older ones lie far from
every centroid and crowd into few cells, and are then missed or slow every query down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from lookalike.domain.arrays import FloatMatrix, RowArray

MOST_ERROR: Final = 1.1
"""New rows may lie so many times as far from their centroids, squared, as the sample did."""
MOST_CROWDING: Final = 1.5
"""Lists may become so many times as uneven as they were."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How rows to be added differ from those that the cells were trained for; 1 is not at all.

    `error` compares mean squared distances to the centroids, `crowding` how many codes stand
    beside a code in its cell, for the number of all.
    """

    error: float
    crowding: float

    @property
    def is_past_bounds(self) -> bool:
        """Tell whether cells should be trained anew."""
        return self.error > MOST_ERROR or self.crowding > MOST_CROWDING


def measure_drift(
    distances: FloatMatrix, owners: RowArray, *, trained_error: float, sizes: RowArray
) -> Drift:
    """Compare a sample of new rows with the training.

    `distances` `(n,)` are squared, to the centroids of the cells `owners` `(n,)`; `sizes`
    `(cells,)` are the lists' now.
    """
    if not len(owners):
        return Drift(1.0, 1.0)
    error = float(np.mean(distances)) / max(trained_error, 1e-9)
    new = np.bincount(owners, minlength=len(sizes))
    beside = float(np.mean(sizes[owners] / max(int(sizes.sum()), 1)))
    # Pairs of new rows in one cell, without a row's pair with itself.
    among = float(np.sum(new * (new - 1.0))) / max(len(owners) * (len(owners) - 1.0), 1.0)
    before = unevenness(sizes)
    return Drift(error, max(beside, among) * len(sizes) / max(before, 1e-9))


def unevenness(sizes: RowArray) -> float:
    """Return how many times the mean size the cell of a random code is; 1 when all are equal."""
    total = float(sizes.sum())
    return len(sizes) * float(np.sum(sizes.astype(np.float64) ** 2)) / max(total * total, 1.0)
