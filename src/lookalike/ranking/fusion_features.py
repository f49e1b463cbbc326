"""From what the paths gave to the features that a fusion model weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.fusion import FEATURES
from lookalike.ranking.rrf import ReciprocalRankFusion, competition_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.ports.ranker import Features

ALL_FEATURES: Final = tuple(FEATURES)
BEHIND: Final = 10
LEAST_SPREAD: Final = 1e-3
FIELD_OF: Final = {"label_share": "labels", "ocr_share": "ocr_text", "colour_share": "colors"}
"""The text field whose part of BM25 a feature tells; its column bears the field's name."""

RECENCY: Final = "recency"

IF_WANTED: Final = frozenset({RECENCY, *FIELD_OF.values()})
"""Columns that are told only where a model weighs them or an answer is logged."""

NEEDED: Final = ("bm25", "cosine")
"""What a query's paths must have given for a learned order: else one path alone speaks."""


def has_both_paths(features: Features) -> bool:
    """Tell whether words and vectors both answered, so that there is something to fuse."""
    return all(
        name in features and bool(np.isfinite(features[name]).any()) for name in NEEDED
    ) and bool((np.nan_to_num(features["bm25"]) > 0).any())


def derive_features(features: Features, names: Sequence[str] = ALL_FEATURES) -> NDArray[np.float64]:
    """Return `(n, f)` values of the named features, NaN where a path did not see a candidate.

    They are told over all candidates of a query: a share of the best, a rank among them.
    """
    count = next(iter(features.values())).shape[0] if features else 0
    bm25 = np.maximum(np.nan_to_num(_column(features, "bm25", count), nan=0.0), 0.0)
    matched = bm25 > 0
    cosine, region = _column(features, "cosine", count), _column(features, "region", count)
    best = float(bm25.max(initial=0.0))
    makers = {
        "rrf": lambda: ReciprocalRankFusion().score(features).astype(np.float64),
        "bm25_log": lambda: np.log1p(bm25),
        "bm25_share": lambda: bm25 / best if best else bm25,
        "bm25_lead": lambda: bm25 / best * _lead(bm25) if best else bm25,
        "bm25_rank": lambda: _discount(np.where(matched, bm25, np.nan), missing=0.0),
        "matched": lambda: matched.astype(np.float64),
        RECENCY: lambda: _column(features, RECENCY, count),
        "cosine": lambda: cosine,
        "cosine_gap": lambda: _gap(cosine),
        "cosine_z": lambda: _standard(cosine),
        "cosine_rank": lambda: _discount(cosine, missing=np.nan),
        "region": lambda: region,
        "region_gap": lambda: _gap(region),
        "region_seen": lambda: np.isfinite(region).astype(np.float64),
    }
    for name, field in FIELD_OF.items():
        makers[name] = lambda field=field: _column(features, field, count) / (best or 1.0)
    values = np.empty((count, len(names)), dtype=np.float64)
    for at, name in enumerate(names):
        values[:, at] = makers[name]()
    return values


def mixed_order(usual: NDArray[np.int64], cosines: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return `(m,)` candidates of the usual order, the nearest by cosine taking turns with them.

    So images that no word matches are seen, which the usual order may show far down alone.
    """
    by_cosine = usual[np.argsort(-np.nan_to_num(cosines[usual], nan=-2.0), kind="stable")]
    both = np.column_stack([by_cosine, usual]).reshape(-1)
    _, first = np.unique(both, return_index=True)
    return both[np.sort(first)]


def _column(features: Features, name: str, count: int) -> NDArray[np.float64]:
    values = features.get(name)
    return np.full(count, np.nan) if values is None else values.astype(np.float64)


def _lead(values: NDArray[np.float64]) -> float:
    """Return how far the best of `(n,)` values stands above those behind it, in [0, 1]."""
    behind = min(BEHIND, len(values) - 1)
    if behind < 1:
        return 1.0
    first = -np.sort(-np.partition(values, -behind - 1)[-behind - 1 :])
    return float(1.0 - first[1:].mean() / first[0])


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    is_known = np.isfinite(values)
    if not is_known.any():
        return values
    spread = max(float(values[is_known].std()), LEAST_SPREAD)
    return (values - values[is_known].mean()) / spread


def _gap(values: NDArray[np.float64]) -> NDArray[np.float64]:
    is_known = np.isfinite(values)
    return values - values[is_known].max() if is_known.any() else values


def _discount(values: NDArray[np.float64], *, missing: float) -> NDArray[np.float64]:
    """Return 1 / log2(1 + rank), the highest first."""
    found = np.full(values.shape, missing)
    is_known = np.isfinite(values)
    if is_known.any():
        ranks = competition_ranks(values[is_known].astype(np.float32))
        found[is_known] = 1.0 / np.log2(1.0 + ranks)
    return found
