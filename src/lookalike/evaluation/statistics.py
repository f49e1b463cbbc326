"""How sure a mean over queries is, and a difference between two.

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13, for percentile
intervals; Smucker, Allan and Carterette, "A comparison of statistical significance tests for
information retrieval evaluation" (CIKM 2007), for the paired randomisation test.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RESAMPLES: Final = 10_000
LEVEL: Final = 0.95
EXACT_QUERIES: Final = 13
"""Up to so many queries every assignment of signs is tried: 2^13 of them."""

TIE: Final = 1e-5
"""Scores of one query as near as this are equal: reports keep six digits."""

_CELLS: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of one metric: `mean` in `[low, high]`, its p-value, and the queries."""

    mean: float
    low: float
    high: float
    p: float
    wins: int
    ties: int
    losses: int


def bootstrap_intervals(
    values: NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Return the percentile bootstrap intervals of the means of columns, `(m, 2)`, at 95 %.

    Queries are drawn with replacement, the same ones for every column.

    Args:
        values: `(n, m)` scores of n queries under m metrics, n at least 1.
        seed: of the generator.
        resamples: how many draws of n queries.
    """
    count = len(values)
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [_draws(rng, part, count) @ values / count for part in _parts(resamples, count)]
    )
    tail = (1.0 - LEVEL) / 2.0
    return np.quantile(means, [tail, 1.0 - tail], axis=0).T


def permutation_p_values(
    differences: NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES
) -> NDArray[np.float64]:
    """Return two-sided p-values of the paired randomisation test, `(m,)`.

    If two configurations were alike, each query's difference could as well have the other sign.
    Of few queries all assignments are counted; else p = (1 + as extreme) / (1 + resamples).

    Args:
        differences: `(n, m)` differences of n queries under m metrics, n at least 1.
        seed: of the generator.
        resamples: how many random assignments.
    """
    count = len(differences)
    # A sum in another order may end a last digit below.
    reached = np.abs(differences.sum(axis=0)) - 1e-9
    if count <= EXACT_QUERIES:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=count)))
        return np.mean(np.abs(signs @ differences) >= reached, axis=0)
    rng = np.random.default_rng(seed)
    extreme = np.zeros(differences.shape[1])
    for part in _parts(resamples, count):
        signs = rng.integers(0, 2, (part, count), dtype=np.int8) * 2.0 - 1.0
        extreme += np.sum(np.abs(signs @ differences) >= reached, axis=0)
    return (1.0 + extreme) / (1.0 + resamples)


def paired_differences(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], *, seed: int = 0
) -> list[Difference]:
    """Return how two configurations differ on the same queries, metric by metric.

    Args:
        ours: `(n, m)` scores of n queries under m metrics.
        theirs: `(n, m)` scores of the other configuration, in the same order.
        seed: of the resampling.
    """
    differences = ours - theirs
    differences[np.abs(differences) <= TIE] = 0.0
    intervals = bootstrap_intervals(differences, seed=seed)
    p_values = permutation_p_values(differences, seed=seed)
    return [
        Difference(
            mean=float(column.mean()), low=float(low), high=float(high), p=float(p),
            wins=int(np.sum(column > 0)), ties=int(np.sum(column == 0)),
            losses=int(np.sum(column < 0)),
        )
        for column, (low, high), p in zip(differences.T, intervals, p_values, strict=True)
    ]  # fmt: skip


def _draws(rng: np.random.Generator, draws: int, count: int) -> NDArray[np.float64]:
    """Return how often each of `count` queries stands in each draw, `(draws, count)`."""
    chosen = rng.integers(0, count, (draws, count)) + np.arange(draws)[:, None] * count
    times = np.bincount(chosen.ravel(), minlength=draws * count)
    return times.reshape(draws, count).astype(np.float64)


def _parts(total: int, count: int) -> Iterator[int]:
    """Yield sizes that add up to `total`, each small enough to be held."""
    size = max(1, _CELLS // count)
    yield from (min(size, total - first) for first in range(0, total, size))
