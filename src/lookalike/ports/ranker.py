"""The port of rankers: from the features of candidates to one order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Features: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Feature name to `(n,)` float32 over the same n candidates; NaN where it could not be had."""


class Ranker(Protocol):
    """Scores candidates from their features; higher is better."""

    @property
    def name(self) -> str:
        """What `--explain` shows."""
        ...

    @property
    def wants(self) -> frozenset[str]:
        """What it weighs of the features that are told only if they are wanted."""
        ...

    def score(self, features: Features) -> NDArray[np.float32]:
        """Return `(n,)` scores; the arguments are left as they were."""
        ...

    def shares(self, features: Features) -> Features:
        """Return `(n,)` what each feature adds to what the scores are made of, by name."""
        ...

    def explain(self) -> Mapping[str, object]:
        """Return the choices that shaped the scores."""
        ...
