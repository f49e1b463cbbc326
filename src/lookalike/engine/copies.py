"""Likely copies: near in perceptual hash, and confirmed by the embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import NotFoundError, UnknownNameError, suggest_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray
    from lookalike.domain.images import ImageId, ImageRecord
    from lookalike.engine.stores import Stores

NEIGHBOURS: Final = 50
BLOCK_BITS: Final = 16
BLOCKS: Final = 64 // BLOCK_BITS
MOST_BUCKET: Final = 2000
"""A bucket of equal 16 bits larger than this is flat pictures, and is passed over."""


@dataclass(frozen=True, slots=True)
class CopyRule:
    """When two pictures count as copies.

    Hashes within `radius` bits and a cosine of at least `near`, or a cosine of at least `alone`
    whatever the hashes say. Hashes of a lower quality than `least_quality` say nothing.
    """

    radius: int
    near: float
    alone: float
    least_quality: float = 0.2


RULES: Final[Mapping[str, CopyRule]] = {
    "strict": CopyRule(radius=4, near=0.95, alone=1.01),
    "balanced": CopyRule(radius=8, near=0.85, alone=0.97),
    "lenient": CopyRule(radius=12, near=0.75, alone=0.92),
}


@dataclass(frozen=True, slots=True)
class CopyPair:
    """Two images judged to be the same picture, with what was measured of them."""

    first: ImageRecord
    second: ImageRecord
    cosine: float
    hash_distance: int

    @property
    def reason(self) -> str:
        """What the judgement rests on."""
        return f"pHash {self.hash_distance} bits apart, cosine {self.cosine:.3f}"


class CopySearch:
    """Finds copies of one image, or all pairs of an index."""

    def __init__(self, stores: Stores, strictness: str) -> None:
        """Choose the rule by its name."""
        if strictness not in RULES:
            raise UnknownNameError(
                f"there is no strictness {strictness!r}", hint=suggest_names(strictness, RULES)
            )
        self._stores = stores
        self._rule = RULES[strictness]

    def of(self, image: ImageId) -> Sequence[CopyPair]:
        """Return the copies of one image, the surest first."""
        row = self._stores.catalog.rows_of([image]).get(image)
        if row is None:
            raise NotFoundError(f"no image {image} in this index")
        vector = self._stores.vectors.fetch(np.asarray([row], dtype=np.int64))
        hits = self._stores.vectors.search(vector, k=NEIGHBOURS)
        others = hits.rows[0][hits.rows[0] >= 0]
        if self._stores.is_dense:  # every hash is at hand; a cluster's are not
            others = self._with_near_hashes(row, others)
        others = others[others != row]
        return self._judged(np.full(len(others), row, dtype=np.int64), others)

    def _with_near_hashes(self, row: int, neighbours: RowArray) -> RowArray:
        rows, hashes, qualities = self._stores.catalog.phashes()
        at = int(np.searchsorted(rows, row))
        distances = np.bitwise_count(hashes ^ hashes[at])
        is_sure = (qualities >= self._rule.least_quality) & (
            qualities[at] >= self._rule.least_quality
        )
        others = np.union1d(rows[(distances <= self._rule.radius) & is_sure], neighbours)
        return others[np.isin(others, rows)]

    def all(self) -> Sequence[CopyPair]:
        """Return every pair whose hashes share 16 aligned bits and that meets the rule.

        Two hashes within 3 bits always share one of their four blocks; beyond that most pairs
        do, and the rest is left to `of`, which looks at neighbours by embedding too.
        """
        rows, hashes, qualities = self._stores.catalog.phashes()
        keep = qualities >= self._rule.least_quality
        rows, hashes = rows[keep], hashes[keep]
        pairs: set[tuple[int, int]] = set()
        for block in range(BLOCKS):
            keys = (hashes >> np.uint64(block * BLOCK_BITS)) & np.uint64((1 << BLOCK_BITS) - 1)
            pairs |= self._within_buckets(keys, hashes)
        if not pairs:
            return ()
        both = np.asarray(sorted(pairs), dtype=np.int64)
        return self._judged(rows[both[:, 0]], rows[both[:, 1]])

    def _within_buckets(
        self, keys: NDArray[np.uint64], hashes: NDArray[np.uint64]
    ) -> set[tuple[int, int]]:
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order][:1] + np.uint64(1)))
        pairs: set[tuple[int, int]] = set()
        for members in np.split(order, starts[1:]):
            if not 1 < len(members) <= MOST_BUCKET:
                continue
            distances = np.bitwise_count(hashes[members][:, None] ^ hashes[members][None, :])
            for a, b in np.argwhere(np.triu(distances <= self._rule.radius, 1)).tolist():
                first, second = sorted((int(members[a]), int(members[b])))
                pairs.add((first, second))
        return pairs

    def _judged(self, firsts: RowArray, seconds: RowArray) -> Sequence[CopyPair]:
        if not len(firsts):
            return ()
        catalog, vectors = self._stores.catalog, self._stores.vectors
        cosines = np.einsum("ij,ij->i", vectors.fetch(firsts), vectors.fetch(seconds))
        distinct = np.union1d(firsts, seconds)
        records = dict(zip(distinct.tolist(), catalog.records(distinct.tolist()), strict=True))
        pairs: list[CopyPair] = []
        for first, second, cosine in zip(firsts.tolist(), seconds.tolist(), cosines, strict=True):
            one, other = records[first], records[second]
            if one is None or other is None:
                continue
            distance = (one.facts.phash ^ other.facts.phash).bit_count()
            if self._is_copy(one, other, float(cosine), distance):
                pairs.append(CopyPair(one, other, float(cosine), distance))
        return sorted(pairs, key=lambda pair: (-pair.cosine, pair.first.row, pair.second.row))

    def _is_copy(self, one: ImageRecord, other: ImageRecord, cosine: float, distance: int) -> bool:
        quality = min(one.facts.phash_quality, other.facts.phash_quality)
        is_near = distance <= self._rule.radius and quality >= self._rule.least_quality
        return (is_near and cosine >= self._rule.near) or cosine >= self._rule.alone
