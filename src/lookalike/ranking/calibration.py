"""What a cosine means: how far it stands out of the query's cosines with a background sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix

LEAST_SAMPLE: Final = 32
"""Below so many background vectors their spread says too little."""

LEAST_SPREAD: Final = 0.02
"""Floor of the standard deviation, so that a uniform background gives no infinite scores."""

COPY_COSINE: Final = 0.97
"""A picture this near to the asked one answers it, whatever else is near."""

QueryKind: TypeAlias = Literal["text", "image", "mixed"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The log odds of an answer: what stands out and the share of words found, each weighed."""

    intercept: float
    standout: float
    coverage: float


EVIDENCE: Final[Mapping[QueryKind, Evidence]] = {
    "text": Evidence(-0.7654, 0.7194, 3.1409),
    "image": Evidence(-0.0857, 0.2115, 0.0),
    "mixed": Evidence(-0.2591, 0.1992, 0.5117),
}
"""Fitted to queries of which half have no answer (eval/calibration/calibration.json#models)."""


@dataclass(frozen=True, slots=True)
class Background:
    """A fixed sample of the corpus, `(m, dim)` unit vectors, and how many images that has."""

    vectors: FloatMatrix
    size: int = 0

    @property
    def is_telling(self) -> bool:
        """Tell whether the sample is large enough to say what is usual."""
        return len(self.vectors) >= LEAST_SAMPLE

    def relevance(
        self,
        query: NDArray[np.float32],
        cosines: NDArray[np.float32],
        *,
        kind: QueryKind = "text",
        coverage: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return `(n,)` relevances in [0, 1] of `(n,)` cosines with the `(dim,)` query.

        A relevance is the chance that a query has an answer in the corpus if this is its best
        image, in a world where half of the queries have one: so one threshold serves all queries.
        It is told by how many standard deviations the cosine lies above the background's mean,
        less what chance gives the best of `size` images, √(2 ln size), and by the share of the
        query's words that stand beside the image. With too small a background, it is the cosine.

        Args:
            query: unit norm.
            cosines: of images with the query.
            kind: whether words, pictures or both made the query.
            coverage: `(n,)` shares in [0, 1].
        """
        if not self.is_telling:
            return np.clip(cosines, 0.0, 1.0).astype(np.float32)
        background = self.vectors @ query
        spread = max(float(background.std()), LEAST_SPREAD)
        by_chance = math.sqrt(2.0 * math.log(max(self.size, len(self.vectors))))
        evidence = EVIDENCE[kind]
        odds = evidence.intercept + evidence.standout * (
            (cosines.astype(np.float64) - float(background.mean())) / spread - by_chance
        )
        if coverage is not None:
            odds = odds + evidence.coverage * coverage
        relevance = 0.5 * (1.0 + np.tanh(0.5 * odds))
        if kind == "image":
            relevance = np.where(cosines >= COPY_COSINE, np.maximum(relevance, cosines), relevance)
        return np.clip(relevance, 0.0, 1.0).astype(np.float32)
