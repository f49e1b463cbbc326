"""From the vectors of a query's parts to the one vector that is searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix

Weighted: TypeAlias = "Sequence[tuple[FloatMatrix, float]]"

WORDS_BESIDE_PICTURES: Final = 3.0
"""How much more a word weighs than a picture beside it (eval/composition/composition.json)."""

MORE: Final = 0.5
LESS: Final = 0.25
"""Rocchio's beta and gamma (eval/composition/feedback.json)."""

LEAST_NORM: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Parts:
    """The `(dim,)` unit vectors of a query.

    `words` and `pictures` have weights, below 0 for what is pushed away; `more` and `less` are
    images that were judged to be what is wanted, and not.
    """

    words: Weighted = ()
    pictures: Weighted = ()
    more: Sequence[FloatMatrix] = ()
    less: Sequence[FloatMatrix] = ()


def compose(parts: Parts) -> NDArray[np.float32] | None:
    """Return the `(dim,)` unit vector of all parts, None where there are none or they cancel out.

    It is the weighted sum of the parts' unit vectors, words beside pictures weighed more: a
    picture's cosines spread about twice as far as a word's, so that a plain sum would follow the
    picture alone. What was judged of hits is added as Rocchio (1971) has it.
    """
    words = WORDS_BESIDE_PICTURES if parts.pictures else 1.0
    weighted = [(vector, weight * words) for vector, weight in parts.words]
    weighted += parts.pictures
    weighted += [
        (_mean(judged), weight)
        for judged, weight in ((parts.more, MORE), (parts.less, -LESS))
        if judged
    ]
    if not weighted:
        return None
    total = np.zeros(weighted[0][0].shape, dtype=np.float64)
    for vector, weight in weighted:
        total += vector.astype(np.float64) * weight
    length = float(np.linalg.norm(total))
    if length < LEAST_NORM * max(abs(weight) for _, weight in weighted):
        return None
    return (total / length).astype(np.float32)


def _mean(vectors: Sequence[FloatMatrix]) -> FloatMatrix:
    mean = np.mean(np.stack(vectors), axis=0)
    return (mean / max(float(np.linalg.norm(mean)), LEAST_NORM)).astype(np.float32)
