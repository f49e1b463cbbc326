"""Fitting a linear ranking to clicks, each weighed by how unlikely its position was looked at.

Pairwise: every clicked image against every image of the answer that was not clicked, as logistic
loss, which bounds the rank of the clicked ones (Joachims, Swaminathan and Schnabel, WSDM 2017).
Pointwise: log(1 + eˢ) − (c / p)·s of each image, whose expectation over looks is the logistic loss
on relevance itself (Saito et al., "Unbiased recommender learning from missing-not-at-random
implicit feedback", WSDM 2020); it is convex for any weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from lookalike.domain.fusion import LEAST_SCALE, FusionModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Slopes: TypeAlias = "tuple[float, NDArray[np.float64], NDArray[np.float64]]"
"""A value with its `(f,)` gradient and `(f, f)` second derivatives."""

Loss: TypeAlias = "Callable[[NDArray[np.float64]], Slopes]"
"""From `(f,)` parameters to the value there and its slopes."""

MOST_STEPS: Final = 50
MOST_HALVINGS: Final = 30
TOLERANCE: Final = 1e-9
ANCHOR: Final = "rrf"
"""The feature whose order is kept where clicks say nothing."""

ANCHOR_RIDGE: Final = 1e-3
INTERCEPT_L2: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Lesson:
    """One answer to learn from: `(n, f)` values, `(n,)` clicks, and `(n,)` weights of clicks.

    `looks` are 1 / the chance of a look at the position shown, `weights` those times 1 / the chance
    that the whole order was shown: one for all images of an answer, so that clicks by chance speak
    for no image more than for another. `orders` are `(n, m)`: the chance of each order for the
    images that it shows, 0 for the others; None where there is one order alone.
    """

    values: NDArray[np.float64]
    is_clicked: NDArray[np.bool_]
    weights: NDArray[np.float64]
    looks: NDArray[np.float64] | None = None
    orders: NDArray[np.float64] | None = None

    @property
    def aims(self) -> NDArray[np.float64]:
        """Return `(n,)` what a click at each position counts among the images shown."""
        return self.weights if self.looks is None else self.looks

    def exposures(self) -> NDArray[np.float64]:
        """Return `(n,)` 1 / the chance that each image is shown at all."""
        count = len(self.is_clicked)
        return np.ones(count) if self.orders is None else 1.0 / self.orders.sum(axis=1)

    def pairs(self) -> NDArray[np.float64]:
        """Return `(c, o)` weights of each clicked image against each that was not clicked.

        Besides the look, 1 / the chance that both are shown together: the same for either of two
        images, so that clicks by chance favour none.
        """
        weights = np.repeat(
            self.aims[self.is_clicked][:, None], int((~self.is_clicked).sum()), axis=1
        )
        if self.orders is None:
            return weights
        is_shown = self.orders > 0
        together = self.orders[self.is_clicked] @ is_shown[~self.is_clicked].T
        return weights / together


@dataclass(frozen=True, slots=True)
class Standard:
    """Centres and scales of features, `(f,)` each."""

    centres: NDArray[np.float64]
    scales: NDArray[np.float64]

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `(n, f)` standardised values, 0 for a NaN."""
        return np.nan_to_num((values - self.centres) / self.scales, nan=0.0)


def minimise(loss: Loss, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a convex loss is least, by Newton's steps, halved until they lead down."""
    at = start.astype(np.float64)
    value, gradient, curve = loss(at)
    for _ in range(MOST_STEPS):
        step = np.linalg.solve(curve + 1e-10 * np.eye(len(at)), gradient)
        if gradient @ step < TOLERANCE * (1.0 + abs(value)):
            break
        for halving in range(MOST_HALVINGS):
            following = at - step / 2**halving
            found = loss(following)
            if np.isfinite(found[0]) and found[0] < value:
                break
        else:
            break
        at, (value, gradient, curve) = following, found
    return at


def standard_of(lessons: Sequence[Lesson]) -> Standard:
    """Return the mean and spread of every feature, NaN left out; a constant one keeps scale 1."""
    values = np.concatenate([one.values for one in lessons])
    is_known = np.isfinite(values)
    counts = np.maximum(is_known.sum(axis=0), 1)
    known = np.where(is_known, values, 0.0)
    centres = known.sum(axis=0) / counts
    away = np.where(is_known, values - centres, 0.0)
    scales = np.sqrt((away**2).sum(axis=0) / counts)
    return Standard(centres, np.where(scales < LEAST_SCALE, 1.0, scales))


@dataclass(frozen=True, slots=True)
class Fitter:
    """One way to learn over fixed lessons.

    `rows` are `(m, f)` what is scored: differences of two images, or images, then with a last
    column of 1 for the intercept. `targets` are `(m,)` weights of clicks, `counts` what an image
    counts, clicked or not; losses are means over `total`.
    """

    objective: str
    names: tuple[str, ...]
    standard: Standard
    rows: NDArray[np.float64]
    targets: NDArray[np.float64]
    total: float
    counts: NDArray[np.float64] | None = None

    @classmethod
    def pairwise(cls, lessons: Sequence[Lesson], names: Sequence[str], by: Standard) -> Fitter:
        """Return the fitter of clicked against unclicked images; each click counts once."""
        rows: list[NDArray[np.float64]] = []
        targets: list[NDArray[np.float64]] = []
        total = 0.0
        for one in lessons:
            values = by.of(one.values)
            clicked, others = values[one.is_clicked], values[~one.is_clicked]
            if not len(clicked) or not len(others):
                continue
            rows.append((clicked[:, None, :] - others[None, :, :]).reshape(-1, values.shape[1]))
            weights = one.pairs() / values.shape[0]
            targets.append(weights.reshape(-1))
            total += float(weights.sum())
        width = len(names)
        stacked = np.concatenate(rows) if rows else np.empty((0, width))
        aims = np.concatenate(targets) if targets else np.empty(0)
        return cls("pairwise", tuple(names), by, stacked, aims, total or 1.0)

    @classmethod
    def pointwise(cls, lessons: Sequence[Lesson], names: Sequence[str], by: Standard) -> Fitter:
        """Return the fitter of each image's relevance by itself."""
        values = np.concatenate([by.of(one.values) for one in lessons])
        rows = np.column_stack([values, np.ones(len(values))])
        aims = np.concatenate([one.is_clicked * one.aims * one.exposures() for one in lessons])
        counts = np.concatenate([one.exposures() for one in lessons])
        return cls("pointwise", tuple(names), by, rows, aims, float(counts.sum()), counts)

    def fit(self, l2_weights: Sequence[float]) -> list[FusionModel]:
        """Return the model of least loss for each weight that draws it to the anchor's order."""
        prior = np.ones(self.rows.shape[1])
        anchor = at = self._anchor()
        models: dict[float, FusionModel] = {}
        for l2 in sorted(l2_weights, reverse=True):  # each begins where the one before ended
            pull = l2 * prior
            if self.objective == "pointwise":
                pull[-1] = INTERCEPT_L2
            at = minimise(self._loss(self.rows, pull, anchor), at)
            models[l2] = self._model(at, l2)
        return [models[l2] for l2 in l2_weights]

    def _model(self, at: NDArray[np.float64], l2: float) -> FusionModel:
        width = len(self.names)
        return FusionModel(
            features=self.names,
            centres=tuple(self.standard.centres.tolist()),
            scales=tuple(self.standard.scales.tolist()),
            weights=tuple(at[:width].tolist()),
            intercept=float(at[-1]) if self.objective == "pointwise" else 0.0,
            objective=self.objective,
            l2=l2,
        )

    def _anchor(self) -> NDArray[np.float64]:
        """Return parameters that order as the anchor does, with the scale that fits best."""
        anchor = np.zeros(self.rows.shape[1])
        if ANCHOR not in self.names:
            return anchor
        columns = [self.names.index(ANCHOR)]
        if self.objective == "pointwise":
            columns.append(len(self.names))
        prior = np.full(len(columns), ANCHOR_RIDGE)
        start = np.zeros(len(columns))
        anchor[columns] = minimise(self._loss(self.rows[:, columns], prior, start), start)
        anchor[columns[0]] = max(anchor[columns[0]], 0.0)  # never its reverse
        return anchor

    def _loss(
        self, rows: NDArray[np.float64], prior: NDArray[np.float64], centre: NDArray[np.float64]
    ) -> Loss:
        is_pairwise = self.objective == "pairwise"
        targets, total = self.targets, self.total
        counts = np.ones(len(targets)) if self.counts is None else self.counts

        def loss(at: NDArray[np.float64]) -> Slopes:
            score = rows @ at
            away = at - centre
            if is_pairwise:
                chance = _sigmoid(-score)
                value = float(targets @ np.logaddexp(0.0, -score))
                slope, bend = -targets * chance, targets * chance * (1 - chance)
            else:
                chance = _sigmoid(score)
                value = float(counts @ np.logaddexp(0.0, score) - targets @ score)
                slope, bend = counts * chance - targets, counts * chance * (1 - chance)
            curve = rows.T @ (rows * bend[:, None]) / total + np.diag(prior)
            gradient = rows.T @ slope / total + prior * away
            return value / total + 0.5 * float(prior @ away**2), gradient, curve

        return loss


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1.0 + np.tanh(0.5 * values))
