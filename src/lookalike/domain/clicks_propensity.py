"""How likely each position is looked at, from pairs of positions that were swapped at random.

A pair of positions is drawn for a small share of the answers and swapped on half of the draws
(Joachims, Swaminathan and Schnabel, "Unbiased learning-to-rank with biased feedback", WSDM 2017,
section 5). Over the draws both positions hold images of the same worth, so that clicks fall on
them as looks do: p_i / (p_i + p_j) of the clicks on i. All pairs together are a model of Bradley
and Terry (1952). So are images that stand at one place in the usual and at another in the mixed
order, of which one is drawn for each answer (Agarwal et al., "Estimating position bias without
intrusive interventions", WSDM 2019). The model is fitted with a prior that looks fall as a power of
the position, so that few moves give a smooth curve and many give each position its own value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.fusion_fitting import minimise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lookalike.domain.clicks import Session
    from lookalike.domain.fusion_fitting import Slopes

TOP: Final = 10
"""Positions among which pairs are drawn."""

KNOWN: Final = 20
"""Positions with a propensity of their own; behind them they fall by the power."""

USUAL_POWER: Final = 1.0
POWER_SPREAD: Final = 1.0
POSITION_SPREAD: Final = 0.3
CAUTION: Final = 1.0
"""How many standard errors are taken off before clicks are corrected."""

LEAST_PROPENSITY: Final = 0.01


@dataclass(frozen=True, slots=True)
class Propensities:
    """How likely positions from 1 on are looked at, the likeliest 1.

    `power` is the fitted one; `clicks` counts those on moved images that it stands on. `errors`
    and `power_error` are the standard errors of the logarithms, and of the power.
    """

    values: NDArray[np.float64]
    power: float
    clicks: int
    errors: NDArray[np.float64]
    power_error: float = POWER_SPREAD

    def cautious(self) -> Propensities:
        """Return looks that fall more slowly, by as much as they may well be mistaken.

        Too little correction leaves an order as it is. Too much turns it around where many clicks
        fall by chance, since those on the last positions then count most.
        """
        values = np.minimum(self.values * np.exp(CAUTION * self.errors), 1.0)
        power = max(self.power - CAUTION * self.power_error, 0.0)
        return replace(self, values=values, power=power)

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return those of `(n,)` positions; behind the last known one they fall by the power."""
        known = len(self.values)
        inside = self.values[np.minimum(positions, known) - 1]
        beyond = (known / np.maximum(positions, known)) ** self.power
        return np.clip(inside * beyond, LEAST_PROPENSITY, 1.0)


def usual_propensities(power: float = USUAL_POWER) -> Propensities:
    """Return what is taken for granted before anything was swapped: 1 / position."""
    values = 1.0 / np.arange(1, KNOWN + 1, dtype=np.float64) ** power
    return Propensities(values, power, 0, np.full(KNOWN, POWER_SPREAD))


def estimate_propensities(sessions: Sequence[Session]) -> Propensities:
    """Return the propensities of the first positions from the answers with a drawn pair."""
    wins = np.zeros((KNOWN, KNOWN), dtype=np.float64)  # clicks on i that might have been on j
    for session in sessions:
        if not session.clicks:
            continue
        swap = session.shown.swap
        if swap is None:
            _count_moved(session, wins)
        elif swap.high <= KNOWN:
            is_clicked = session.is_clicked
            wins[swap.low - 1, swap.high - 1] += is_clicked[swap.low - 1]
            wins[swap.high - 1, swap.low - 1] += is_clicked[swap.high - 1]
    total = round(float(wins.sum()))
    if not total:
        return usual_propensities()
    logs = np.log(np.arange(1, KNOWN + 1, dtype=np.float64))
    design = np.column_stack([-logs, np.eye(KNOWN)])  # parameters: the power, each one's own part
    prior = np.array([1 / POWER_SPREAD**2, *([1 / POSITION_SPREAD**2] * KNOWN)])
    start = np.array([USUAL_POWER, *([0.0] * KNOWN)])
    first, second = np.nonzero(wins)
    contrast = design[first] - design[second]
    counts = wins[first, second]

    def loss(parameters: NDArray[np.float64]) -> Slopes:
        margin = contrast @ parameters
        chance = 1.0 / (1.0 + np.exp(margin))
        away = parameters - start
        value = float(counts @ np.logaddexp(0.0, -margin) + 0.5 * prior @ away**2)
        gradient = -contrast.T @ (counts * chance) + prior * away
        curve = counts * chance * (1 - chance)
        return value, gradient, contrast.T @ (contrast * curve[:, None]) + np.diag(prior)

    best = minimise(loss, start)
    against_first = design - design[0]
    covariance = np.linalg.inv(loss(best)[2])
    errors = np.sqrt(np.einsum("ij,jk,ik->i", against_first, covariance, against_first))
    logs_fitted = design @ best
    values = np.exp(logs_fitted - logs_fitted.max())
    values = np.maximum(values, LEAST_PROPENSITY)
    return Propensities(values, float(best[0]), total, errors, float(np.sqrt(covariance[0, 0])))


def _count_moved(session: Session, wins: NDArray[np.float64]) -> None:
    """Count clicks on images that stand elsewhere in the other order.

    Those in the usual order, which is drawn more often, count less: as much as if both orders were
    drawn alike.
    """
    shown = session.shown
    share = shown.mixed_share
    if shown.places is None or not 0 < share < 1:
        return
    positions = np.arange(1, len(shown.images) + 1)
    agrees = (shown.places == positions[:, None]).sum(axis=0)
    is_mixed = bool(agrees[1] > agrees[0])
    other = shown.places[:, 0 if is_mixed else 1]
    most = min(KNOWN, len(positions))  # what stands behind the page is never clicked
    is_counted = session.is_clicked & (np.maximum(positions, other) <= most) & (other != positions)
    weight = min(1.0, (1 - share) / share) if is_mixed else min(1.0, share / (1 - share))
    np.add.at(wins, (positions[is_counted] - 1, other[is_counted] - 1), weight)
