"""What makes the scores of a page's hits, what a model weighs of them, and the mixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.hits import Traced
from lookalike.ranking.fusion_features import (
    ALL_FEATURES,
    derive_features,
    has_both_paths,
    mixed_order,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.domain.queries import Query
    from lookalike.ports.ranker import Features, Ranker


def mixed_if_asked(query: Query, features: Features, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the `(m,)` candidates as they are to be shown."""
    if not query.is_mixed or not has_both_paths(features):
        return order
    return mixed_order(order, features["cosine"])


def tell(
    query: Query,
    ranker: Ranker,
    features: Features,
    usual: NDArray[np.int64],
    order: NDArray[np.int64],
) -> tuple[Features, Sequence[Traced]]:
    """Return the shares by name and the traces of the first k candidates of an order.

    Both are told over all candidates, so that they are only to be had where those are at hand.
    `usual` is the ranker's own order of the `(m,)` candidates that are shown.
    """
    chosen = order[: query.k]
    shares: Features = {}
    if query.is_explained and len(chosen):
        asked = ranker.shares(features)
        shares = {name: values[chosen] for name, values in asked.items()}
    if not query.is_traced or not len(chosen) or not has_both_paths(features):
        return shares, ()
    table = derive_features(features)[chosen]
    mixed = mixed_order(usual, features["cosine"])
    places = [_places(one, len(features["cosine"]))[chosen].tolist() for one in (usual, mixed)]
    return shares, [
        Traced(dict(zip(ALL_FEATURES, values, strict=True)), own, other)
        for values, own, other in zip(table.tolist(), *places, strict=True)
    ]


def _places(order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the place from 1 of each of `count` candidates, 0 for one that is not in the order."""
    places = np.zeros(count, dtype=np.int64)
    places[order] = np.arange(1, len(order) + 1)
    return places
