"""Maximal marginal relevance: hits that answer the query and do not repeat each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix

LEAST_RANGE: Final = 1e-6


def mmr_order(
    scores: NDArray[np.float32], vectors: FloatMatrix, diversity: float
) -> NDArray[np.int64]:
    """Return the `(n,)` candidates in the order of maximal marginal relevance.

    Each next one has the greatest (1 - d) · relevance - d · the greatest cosine with one before it
    (Carbonell and Goldstein 1998), where the relevance is its score on the scale from the worst
    candidate's to the best's. d = 0 keeps the order of the scores, d = 1 leaves them out of account
    but for the first. A vector of NaN is like no other.

    Args:
        scores: `(n,)`, higher is better.
        vectors: `(n, dim)`, unit norm.
        diversity: d in [0, 1].
    """
    count = len(scores)
    span = max(float(np.ptp(scores)) if count else 0.0, LEAST_RANGE)
    own = (1.0 - diversity) * (scores.astype(np.float64) - scores.min(initial=np.inf)) / span
    known = np.nan_to_num(vectors)
    likeness = known @ known.T
    likest = np.zeros(count, dtype=np.float64)
    is_left = np.ones(count, dtype=np.bool_)
    order = np.empty(count, dtype=np.int64)
    for place in range(count):
        worth = np.where(is_left, own - diversity * likest, -np.inf)
        chosen = int(np.argmax(worth)) if place else int(np.argmax(scores))
        order[place] = chosen
        is_left[chosen] = False
        np.maximum(likest, likeness[chosen], out=likest)
    return order
