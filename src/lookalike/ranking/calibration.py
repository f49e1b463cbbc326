"""What a cosine means: how far it stands out of the query's cosines with a background sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix

LEAST_SAMPLE: Final = 32
"""Below so many background vectors their spread says too little."""

LEAST_SPREAD: Final = 0.02
"""Floor of the standard deviation, so that a uniform background gives no infinite scores."""


@dataclass(frozen=True, slots=True)
class Background:
    """A fixed sample of the corpus, `(m, dim)` unit vectors."""

    vectors: FloatMatrix

    def relevance(
        self, query: NDArray[np.float32], cosines: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return `(n,)` relevances in [0, 1] of `(n,)` cosines with the `(dim,)` query.

        1 - p, where p is the upper tail of a normal distribution fitted robustly (median
        and MAD) to the cosines of the query with the background: the same value means the
        same surprise for every query. With too small a background, the cosine itself.
        """
        if self.vectors.shape[0] < LEAST_SAMPLE:
            return np.clip(cosines, 0.0, 1.0).astype(np.float32)
        background = self.vectors @ query
        centre = float(np.median(background))
        spread = 1.4826 * float(np.median(np.abs(background - centre)))
        z = (cosines - centre) / max(spread, LEAST_SPREAD)
        tail = [0.5 * math.erfc(value / math.sqrt(2.0)) for value in z.tolist()]
        return (1.0 - np.asarray(tail, dtype=np.float32)).astype(np.float32)
