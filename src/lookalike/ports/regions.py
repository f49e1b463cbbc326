"""The port of region indexes: the vectors of the objects inside images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
from lookalike.domain.filter_terms import FilterTerms
from lookalike.domain.hits import Selection


@dataclass(frozen=True, slots=True)
class ImageRegions:
    """The regions of one image: `numbers` are positions among its objects, `(n, dim)` vectors."""

    row: int
    numbers: tuple[int, ...]
    vectors: FloatMatrix = field(repr=False)
    terms: FilterTerms | None = None


@dataclass(frozen=True, slots=True)
class RegionHits:
    """The best regions for one query, falling in score: `(n,)` image rows, numbers, cosines."""

    rows: RowArray
    numbers: RowArray
    scores: NDArray[np.float32]


class RegionIndex(Protocol):
    """Unit vectors of regions, found by inner product; each belongs to an image's row.

    Promises: none invented, none twice; what `put` says of an image replaces what was said
    before; removing an unknown row does nothing; only Lookalike's errors escape.
    """

    def __len__(self) -> int:
        """Return how many regions can be found."""
        ...

    @property
    def length(self) -> int:
        """What the catalog's next commit states as valid; 0 where nothing is appended."""
        ...

    def put(self, images: Sequence[ImageRegions], *, is_new: bool = False) -> None:
        """Replace the regions of images; durable after `flush`.

        `is_new` says that no other regions were ever put of them, which saves looking for those.
        """
        ...

    def fetch(self, row: int, numbers: Sequence[int]) -> FloatMatrix:
        """Return the `(n, dim)` vectors of an image's regions; `StoreError` for an unknown one."""
        ...

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` image rows whether any region of it can be found."""
        ...

    def remove(self, rows: RowArray) -> None:
        """Hide the regions of images at once."""
        ...

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Replace what filters may ask of images, for stores that are given no masks."""
        ...

    def flush(self) -> None:
        """Make everything durable."""
        ...

    def refresh(self, length: int) -> None:
        """Show what the catalog has committed, and nothing above it."""
        ...

    def search(
        self,
        query: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RegionHits:
        """Return the best k regions for a `(1, dim)` query, several of one image among them."""
        ...

    def maybe_seal(self) -> bool:
        """Seal what was added when enough has come, as `VectorIndex.maybe_seal` does."""
        ...

    def optimize(self) -> None:
        """Seal, merge and tune in the foreground."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
