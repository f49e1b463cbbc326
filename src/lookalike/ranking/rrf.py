"""Reciprocal rank fusion: the order used until a ranker has been learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.ports.ranker import Features

DEFAULT_WEIGHTS: Final[Mapping[str, float]] = {"bm25": 1.0, "cosine": 1.0, "region": 1.0}

DEFAULT_LIFTS: Final[Mapping[str, str]] = {"region": "cosine"}


@dataclass(frozen=True, slots=True)
class ReciprocalRankFusion:
    """RRF (Cormack, Clarke and Büttcher 2009): the sum of weight / (rrf_k + rank) over features.

    A small `rrf_k` lets the first of one path stand beside what both found, as it must where only
    some images have words (ADR 37).
    Ranks begin at 1; equal values share the best of their ranks. BM25 counts only where words
    matched (a score above zero), the cosine always. A feature that is NaN adds nothing. Of a
    feature and the one that it `lifts` only the larger share counts: how near a region is says the
    same of a picture as its cosine, more clearly or less. The result is divided by its greatest
    possible value, so that scores lie in [0, 1].
    """

    rrf_k: float = 2.0
    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    lifts: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_LIFTS))
    name: str = "rrf"
    wants: frozenset[str] = frozenset()

    def score(self, features: Features) -> NDArray[np.float32]:
        """Return `(n,)` fused scores in [0, 1]."""
        shares, most = self._shares(features)
        total = np.sum(list(shares.values()), axis=0) if shares else np.zeros(_size(features))
        return (total / most).astype(np.float32)

    def shares(self, features: Features) -> Mapping[str, NDArray[np.float32]]:
        """Return `(n,)` what each feature, with what lifts it, adds to the score, by name."""
        shares, most = self._shares(features)
        return {name: (share / most).astype(np.float32) for name, share in shares.items()}

    def _shares(self, features: Features) -> tuple[dict[str, NDArray[np.float64]], float]:
        """Return the shares by name, and the greatest possible value of their sum."""
        size = _size(features)
        shares: dict[str, NDArray[np.float64]] = {}
        best: dict[str, float] = {}
        for name, weight in self.weights.items():
            values = features.get(name)
            if values is None or weight <= 0:
                continue
            counts = np.isfinite(values) & ((values > 0) if name == "bm25" else True)
            if not counts.any():
                continue
            group = self.lifts.get(name, name)
            share = np.zeros(size, dtype=np.float64)
            share[counts] = weight / (self.rrf_k + competition_ranks(values[counts]))
            shares[group] = np.maximum(shares.get(group, 0.0), share)
            best[group] = max(best.get(group, 0.0), weight / (self.rrf_k + 1))
        return shares, sum(best.values()) or 1.0

    def explain(self) -> Mapping[str, object]:
        """Return the constant and the weights."""
        return {
            "ranker": self.name,
            "rrf_k": self.rrf_k,
            "weights": dict(self.weights),
            "lifts": dict(self.lifts),
        }


def _size(features: Features) -> int:
    sizes = {values.shape[0] for values in features.values()}
    return sizes.pop() if sizes else 0


def competition_ranks(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return 1-based ranks of `(n,)` values, the highest first; equals share the best rank."""
    falling = -values.astype(np.float64)
    return np.searchsorted(np.sort(falling), falling, side="left").astype(np.int64) + 1
