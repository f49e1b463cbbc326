"""The port of vector indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
from lookalike.domain.filter_terms import FilterTerms
from lookalike.domain.hits import RowHits, Selection


@dataclass(frozen=True, slots=True)
class VectorStats:
    """What `status` shows of a vector index.

    `kind` is `flat`, `ivf` or a back end's word; `ann_recall_at_10` maps `image` and `text`
    to the measured overlap with the exact neighbours, where it was measured.
    """

    kind: str
    dim: int
    rows: int
    removed: int
    bytes: int
    sealed_rows: int = 0
    ann_recall_at_10: Mapping[str, float] = field(default_factory=dict[str, float])


class VectorIndex(Protocol):
    """Unit vectors by row, searched by inner product (cosine; higher is better).

    Promises: at most k hits, none invented, none twice; ties broken by rising row; arguments
    are never changed; adding a row again with the same vector changes nothing; removing an
    unknown row does nothing; a row whose vector is all zeros is a hole and is never found;
    only Lookalike's errors escape.
    """

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def __len__(self) -> int:
        """Return how many rows can be found."""
        ...

    def add(
        self, rows: RowArray, vectors: FloatMatrix, terms: Sequence[FilterTerms] | None = None
    ) -> None:
        """Add `(n,)` rows with `(n, dim)` unit vectors; durable after `flush`.

        `terms` holds what filters may ask of each row. A store that is given masks leaves them
        out of account; one that compiles filters itself finds a row added without terms only
        where no filter is set.
        """
        ...

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Replace the terms of rows; unknown rows are passed over.

        A store that is given masks does nothing here.
        """
        ...

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` rows whether it can be found."""
        ...

    def remove(self, rows: RowArray) -> None:
        """Hide rows from every search at once."""
        ...

    def flush(self) -> None:
        """Make every added vector durable; returns when it is on the disk."""
        ...

    def refresh(self, rows: int) -> None:
        """Show every row below `rows`, which the catalog has committed, and none above it.

        Sees what another process wrote. A store that commits by itself does nothing here.
        """
        ...

    def search(
        self,
        queries: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RowHits:
        """Return the best k rows for each of the `(n, dim)` queries, with exact cosines.

        When at least k rows are selected, k hits come back. `query_kind` lets an index
        spend more on text queries, whose neighbours lie further away.
        """
        ...

    def fetch(self, rows: RowArray) -> FloatMatrix:
        """Return the `(n, dim)` vectors of the rows; an unknown row raises `StoreError`."""
        ...

    def stats(self) -> VectorStats:
        """Return what is known of the index."""
        ...

    def maybe_seal(self) -> bool:
        """Seal what was added when enough has come, and tell whether it did.

        May take minutes and is called beside searches and adds, which go on meanwhile. A store
        that tends itself does nothing here.
        """
        ...

    def calibrate(self, text_queries: FloatMatrix) -> None:
        """Tune for `(n, dim)` real text queries, which lie off the images' distribution."""
        ...

    def warm(self) -> None:
        """Load what the first search would load."""
        ...

    def optimize(self) -> None:
        """Seal, merge and tune in the foreground."""
        ...

    def close(self) -> None:
        """Release files and maps."""
        ...
