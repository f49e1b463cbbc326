"""What a search asks of a sealed segment: how widely to look, and which rows may come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray


@dataclass(frozen=True, slots=True)
class Probing:
    """Which cells a search looks into.

    `spread` says how much a cell's spread speaks for it, beside its centroid's closeness: 0.5
    ranks cells by distance, less of it more by inner product; queries that lie among the
    stored vectors want much of it, texts, far from all of them, little. `effort` is how many
    cells a graph keeps in view, 0 for all.
    """

    probes: int
    spread: float
    effort: int = 0


@dataclass(frozen=True, slots=True)
class Sieve:
    """Which rows may come back: those in `bits`, a bitmap of `(rows / 8,)` bytes.

    It is of all rows for codes, which know theirs, and of a segment's own for a graph.

    Under a filter, cells are scanned until `wanted` codes let through stand in them, however
    many that takes; `in_cells` says how many stand in each of `(n,)` cells.
    """

    bits: NDArray[np.uint8]
    in_cells: Callable[[RowArray], RowArray] | None = None
    wanted: int = 0
