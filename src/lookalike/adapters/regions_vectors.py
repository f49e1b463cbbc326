"""A cluster's region index: any vector index whose rows are region codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lookalike.domain.hits import NO_ROW
from lookalike.domain.regions import NUMBER_BITS, region_code, split_codes
from lookalike.ports.regions import RegionHits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.filter_terms import FilterTerms
    from lookalike.domain.hits import Selection
    from lookalike.ports.regions import ImageRegions
    from lookalike.ports.vectors import VectorIndex

_NUMBERS = np.arange(1 << NUMBER_BITS, dtype=np.int64)


class VectorRegionIndex:
    """`RegionIndex` over a `VectorIndex` of its own (a Milvus collection, a Pinecone namespace)."""

    def __init__(self, vectors: VectorIndex) -> None:
        """Take over the index."""
        self._vectors = vectors

    def __len__(self) -> int:
        """Return how many regions can be found."""
        return len(self._vectors)

    @property
    def length(self) -> int:
        """Nothing is appended here."""
        return 0

    def put(self, images: Sequence[ImageRegions], *, is_new: bool = False) -> None:
        """Write the regions of images, and remove those that are gone."""
        if not is_new:
            self._forget_others(images)
        filled = [image for image in images if image.numbers]
        if not filled:
            return
        codes = [region_code(one.row, number) for one in filled for number in one.numbers]
        terms = [one.terms for one in filled for _ in one.numbers]
        known = [one for one in terms if one is not None]
        self._vectors.add(
            np.asarray(codes, np.int64),
            np.concatenate([one.vectors for one in filled]).astype(np.float32),
            known if len(known) == len(codes) else None,
        )

    def fetch(self, row: int, numbers: Sequence[int]) -> FloatMatrix:
        """Return the `(n, dim)` vectors of an image's regions."""
        codes = [region_code(row, number) for number in numbers]
        return self._vectors.fetch(np.asarray(codes, np.int64))

    def has(self, rows: RowArray) -> BoolMask:
        """Tell for each of `(n,)` image rows whether any region of it can be found."""
        rows = np.asarray(rows, np.int64)
        return np.isin(rows, split_codes(self._there(np.unique(rows)))[0])

    def remove(self, rows: RowArray) -> None:
        """Hide the regions of images."""
        there = self._there(np.asarray(rows, np.int64))
        if len(there):
            self._vectors.remove(there)

    def update(self, rows: RowArray, terms: Sequence[FilterTerms]) -> None:
        """Replace what filters may ask of images."""
        by_row = dict(zip(np.asarray(rows).tolist(), terms, strict=True))
        there = self._there(np.asarray(rows, np.int64))
        if len(there):
            owners = split_codes(there)[0].tolist()
            self._vectors.update(there, [by_row[row] for row in owners])

    def flush(self) -> None:
        """Make everything durable."""
        self._vectors.flush()

    def refresh(self, length: int) -> None:
        """Do nothing: what is committed is shown."""

    def search(
        self,
        query: FloatMatrix,
        *,
        k: int,
        selection: Selection | None = None,
        query_kind: Literal["image", "text"] = "image",
    ) -> RegionHits:
        """Return the best k regions for a `(1, dim)` query."""
        hits = self._vectors.search(query, k=k, selection=selection, query_kind=query_kind)
        is_hit = hits.rows[0] != NO_ROW
        rows, numbers = split_codes(hits.rows[0][is_hit])
        return RegionHits(rows, numbers, hits.scores[0][is_hit])

    def maybe_seal(self) -> bool:
        """Do nothing: the store tends itself."""
        return False

    def optimize(self) -> None:
        """Let the store put its house in order."""
        self._vectors.optimize()

    def close(self) -> None:
        """Release connections."""
        self._vectors.close()

    def _there(self, rows: RowArray) -> RowArray:
        """Return the codes of images that the store holds."""
        codes = (rows[:, None] << NUMBER_BITS | _NUMBERS[None, :]).ravel()
        return codes[self._vectors.has(codes)] if len(codes) else codes

    def _forget_others(self, images: Sequence[ImageRegions]) -> None:
        there = self._there(np.asarray([image.row for image in images], np.int64))
        kept = {region_code(one.row, number) for one in images for number in one.numbers}
        gone = np.asarray([code for code in there.tolist() if code not in kept], np.int64)
        if len(gone):
            self._vectors.remove(gone)
