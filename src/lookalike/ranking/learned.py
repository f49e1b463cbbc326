"""The learned order: a fusion model over the features of words and vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.ranking.fusion_features import FIELD_OF, IF_WANTED, derive_features, has_both_paths
from lookalike.ranking.rrf import ReciprocalRankFusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.fusion import FusionModel
    from lookalike.ports.ranker import Features

NOTHING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class LinearRanker:
    """Orders by a fusion model where both paths answered, else by reciprocal rank fusion.

    The score is 1 / (1 + e^−s) of the model's sum s, so that it lies in (0, 1).
    """

    model: FusionModel
    fallback: ReciprocalRankFusion = field(default_factory=ReciprocalRankFusion)

    @property
    def name(self) -> str:
        """The model's version."""
        return self.model.name

    @property
    def wants(self) -> frozenset[str]:
        """The columns that it weighs of those that are told only if they are wanted."""
        weights = zip(self.model.features, self.model.weights, strict=True)
        weighed = {FIELD_OF.get(name, name) for name, weight in weights if abs(weight) > NOTHING}
        return IF_WANTED & weighed

    def score(self, features: Features) -> NDArray[np.float32]:
        """Return `(n,)` scores in [0, 1]."""
        if not has_both_paths(features):
            return self.fallback.score(features)
        total = self.model.score(derive_features(features, self.model.features))
        return (0.5 * (1.0 + np.tanh(0.5 * total))).astype(np.float32)

    def shares(self, features: Features) -> Mapping[str, NDArray[np.float32]]:
        """Return `(n,)` what each feature adds to the sum, by name."""
        if not has_both_paths(features):
            return self.fallback.shares(features)
        names = self.model.features
        table = self.model.shares(derive_features(features, names)).astype(np.float32)
        shares = {name: table[:, at] for at, name in enumerate(names)}
        return shares | {"intercept": np.full(len(table), self.model.intercept, np.float32)}

    def explain(self) -> Mapping[str, object]:
        """Return the version and the weights of standardised features."""
        weights = zip(self.model.features, self.model.weights, strict=True)
        return {
            "ranker": self.name,
            "objective": self.model.objective,
            "weights": {name: round(weight, 4) for name, weight in weights},
        }
