"""What a new order would be worth, told from clicks on the old one.

A click at a position that is looked at with chance p stands for 1 / p clicks (inverse propensity
scoring), clipped so that no single one decides. The estimate of an order is the weighted mean of
the discounts 1 / log2(1 + rank) that it gives the clicked images: DCG, self-normalised (Swaminathan
and Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 2015), so that
1 means that every image wanted comes first. Images are ranked anew among those that were shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.domain.fusion_fitting import Lesson

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
_CHUNK: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gains:
    """What one order earns: `(m,)` weighted discounts and `(m,)` weights, one for each answer."""

    earned: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def value(self) -> float:
        """The self-normalised DCG."""
        return float(self.earned.sum() / (self.weights.sum() or 1.0))


def gains_of(lessons: Sequence[Lesson], scores: Sequence[NDArray[np.float64]]) -> Gains:
    """Return the gains of ordering each answer by `(n,)` scores; equal ones keep their order."""
    earned = np.zeros(len(lessons))
    weights = np.zeros(len(lessons))
    for at, (lesson, score) in enumerate(zip(lessons, scores, strict=True)):
        if not lesson.is_clicked.any():
            continue
        ranks = np.empty(len(score))
        ranks[np.argsort(-score, kind="stable")] = np.arange(1, len(score) + 1)
        chosen = lesson.weights[lesson.is_clicked]
        earned[at] = chosen @ (1.0 / np.log2(1.0 + ranks[lesson.is_clicked]))
        weights[at] = chosen.sum()
    return Gains(earned, weights)


def by_chance(lessons: Sequence[Lesson]) -> Gains:
    """Return what ordering each answer at random earns on average."""
    chosen = [one.weights[one.is_clicked].sum() for one in lessons]
    means = [(1.0 / np.log2(1.0 + np.arange(1, len(one.weights) + 1))).mean() for one in lessons]
    return Gains(np.array(chosen) * np.array(means), np.array(chosen))


def estimate(gains: Gains, *, seed: int) -> Estimate:
    """Return the value of an order with its interval over answers drawn anew."""
    return _interval(gains.value, gains.earned, gains.weights, seed)


def estimate_difference(new: Gains, old: Gains, *, seed: int) -> Estimate:
    """Return by how much one order is better than another over the same answers."""
    return _interval(new.value - old.value, new.earned - old.earned, new.weights, seed)


def _interval(
    value: float, earned: NDArray[np.float64], weights: NDArray[np.float64], seed: int
) -> Estimate:
    is_telling = weights > 0
    earned, weights = earned[is_telling], weights[is_telling]
    if not len(earned):
        return Estimate(value, value, value)
    draw = np.random.default_rng(seed)
    count = len(earned)
    step = max(1, _CHUNK // count)
    values: list[NDArray[np.float64]] = []
    for begin in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - begin)
        times = draw.poisson(1.0, size=(size, count)).astype(np.float64)
        values.append((times @ earned) / np.maximum(times @ weights, 1e-12))
    spread = np.quantile(np.concatenate(values), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(spread[0]), float(spread[1]))
