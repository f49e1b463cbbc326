"""The port of hash indexes: perceptual hashes by row, found within a number of bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.arrays import BoolMask, RowArray


@dataclass(frozen=True, slots=True)
class HashHits:
    """What lies near one hash: `(n,)` rows and bits that differ; nearest first, ties by row."""

    rows: RowArray
    distances: NDArray[np.uint8]


class HashIndex(Protocol):
    """64-bit hashes by row.

    Promises: answers are complete up to `exact_radius`, and never hold anything beyond the radius
    asked, nor a wrong distance; adding a row again replaces its hash; removing an unknown row does
    nothing. An index over a server that searches approximately may miss some at any radius, and
    says so by an `exact_radius` of -1.
    """

    @property
    def exact_radius(self) -> int:
        """The radius up to which nothing is missed; -1 where even equal hashes may be."""
        ...

    def __len__(self) -> int:
        """Return how many hashes there are."""
        ...

    def add(self, rows: RowArray, hashes: NDArray[np.uint64]) -> None:
        """Add or replace the hashes of `(n,)` rows."""
        ...

    def remove(self, rows: RowArray) -> None:
        """Forget rows."""
        ...

    def within(
        self, hashes: NDArray[np.uint64], *, radius: int, most: int | None = None
    ) -> Sequence[HashHits]:
        """Return, for each of `(n,)` hashes, every row within so many bits of it.

        With `most`, only so many of the nearest.
        """
        ...


class HashStore(HashIndex, Protocol):
    """Hashes in a server of their own: any number of processes write and search at once.

    What `add` and `remove` returned from is durable.
    """

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether its hash can be found."""
        ...

    def optimize(self) -> None:
        """Let the store put its house in order."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
