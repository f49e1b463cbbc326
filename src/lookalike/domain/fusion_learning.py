"""Learning an order from clicks, and telling whether it is better than the one in use.

Answers are parted in three: some to fit on, some to choose among fits, and some held out, which
judge the chosen one alone. Where the log spans days enough, the last days are held out; else
queries are, so that no query stands on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike.domain.clicks import day_of
from lookalike.domain.clicks_propensity import Propensities, estimate_propensities
from lookalike.domain.errors import TooFewClicksError
from lookalike.domain.fusion_estimates import (
    Estimate,
    by_chance,
    estimate,
    estimate_difference,
    gains_of,
)
from lookalike.domain.fusion_fitting import ANCHOR, Fitter, Lesson, standard_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from lookalike.domain.clicks import Session, Shown
    from lookalike.domain.fusion import FusionModel

L2_WEIGHTS: Final = (0.001, 0.01, 0.1, 1.0)
LEAST_CLICKED: Final = 30
"""Clicked answers that must stand in each of the three parts."""

LEAST_DAYS: Final = 8
JUDGED_SHARE: Final = 0.3
CHOSEN_SHARE: Final = 0.2
RAW_TOLERANCE: Final = 0.05
"""By clicks as they fell, unweighed, a promoted order may be worse by so much, not by more.

The estimate is as good as the propensities; where those are far off, it praises any order that
turns the shown one around, which clicks as they fell then belie.
"""

RAW_SHARE: Final = 0.5
"""Nor may it give up more than this share of what the order in use has before one by chance."""

CLIP: Final = 20.0
"""A click counts for at most so many."""

MOST_FITTED: Final = 100_000
"""Clicked answers that a model is fitted on; of more, as many are drawn."""

LEAST_SWAPPED_CLICKS: Final = 50
"""Below so many clicks on moved images looks are taken as logged, and nothing is promoted."""


@dataclass(frozen=True, slots=True)
class LearningOptions:
    """How is learned: the features, the seed of every draw, and how far clicks are corrected."""

    features: tuple[str, ...]
    seed: int = 0
    clip: float = CLIP
    is_corrected: bool = True
    objectives: tuple[str, ...] = ("pairwise", "pointwise")


@dataclass(frozen=True, slots=True)
class Trial:
    """One fit and its estimate on the answers that choose."""

    objective: str
    l2: float
    estimate: float


@dataclass(frozen=True, slots=True)
class Parted:
    """The three parts of a log."""

    fitted: Sequence[Lesson]
    choosing: Sequence[Lesson]
    judging: Sequence[Lesson]
    parted_by: str


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted model with all that speaks for or against it.

    `estimates` are of the held-out answers, by the name of an order; `differences` are of the new
    model less that one.
    """

    model: FusionModel
    propensities: Propensities
    is_estimated: bool
    trials: Sequence[Trial]
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    raw_difference: Estimate
    raw_lead: float
    counts: Mapping[str, int]
    parted_by: str
    against: str = field(default="rrf")

    @property
    def is_better(self) -> bool:
        """Tell whether the whole interval of the difference to the order in use lies above 0.

        And whether looks were measured, and clicks as they fell do not speak against it.
        """
        tolerance = min(RAW_TOLERANCE, RAW_SHARE * self.raw_lead)
        is_belied = self.raw_difference.value < -tolerance
        return self.is_estimated and self.differences[self.against].low > 0 and not is_belied

    def facts(self) -> dict[str, Any]:
        """Return what the model's file keeps of how it came to be."""
        return {
            "counts": dict(self.counts),
            "held_out": self.parted_by,
            "propensity": {
                "is_estimated": self.is_estimated,
                "power": round(self.propensities.power, 4),
                "clicks": self.propensities.clicks,
            },
            "trials": [
                {"objective": one.objective, "l2": one.l2, "estimate": round(one.estimate, 6)}
                for one in self.trials
            ],
            "estimates": {name: _estimate_json(one) for name, one in self.estimates.items()},
            "differences": {name: _estimate_json(one) for name, one in self.differences.items()},
            "raw_difference": _estimate_json(self.raw_difference),
            "raw_lead": round(self.raw_lead, 6),
            "against": self.against,
        }


def learn(
    sessions: Sequence[Session],
    options: LearningOptions,
    *,
    current: FusionModel | None = None,
) -> Learned:
    """Fit on a log and judge against the order in use (`None` for reciprocal rank fusion).

    Raises:
        TooFewClicksError: there is too little to fit on or to judge by.
    """
    propensities = estimate_propensities(sessions)
    is_estimated = propensities.clicks >= LEAST_SWAPPED_CLICKS
    parts = _parts(sessions, options, propensities.cautious() if is_estimated else None)
    standard = standard_of(parts.fitted)
    best, best_value, trials = None, -np.inf, list[Trial]()
    for objective in options.objectives:
        make = Fitter.pairwise if objective == "pairwise" else Fitter.pointwise
        fitter = make(parts.fitted, options.features, standard)
        for model in fitter.fit(L2_WEIGHTS):
            value = gains_of(parts.choosing, _scores(model, options.features, parts.choosing)).value
            trials.append(Trial(objective, model.l2, value))
            if value > best_value:
                best, best_value = model, value
    assert best is not None
    model = replace(best, propensities=tuple(propensities.values.tolist()))
    estimates, differences, against = _judge(model, current, parts.judging, options)
    raw = [Lesson(one.values, one.is_clicked, np.ones(len(one.weights))) for one in parts.judging]
    raw_estimates, raw_differences, _ = _judge(model, current, raw, options)
    raw_lead = raw_estimates[against].value - by_chance(raw).value
    counts = {
        "answers": len(sessions),
        "clicked": sum(bool(session.clicks) for session in sessions),
        "fitted": len(parts.fitted),
        "choosing": len(parts.choosing),
        "judging": len(parts.judging),
    }
    return Learned(
        model, propensities, is_estimated, trials, estimates, differences, raw_differences[against],
        raw_lead, counts, parts.parted_by, against,
    )  # fmt: skip


def _judge(
    model: FusionModel,
    current: FusionModel | None,
    judging: Sequence[Lesson],
    options: LearningOptions,
) -> tuple[dict[str, Estimate], dict[str, Estimate], str]:
    anchor = options.features.index(ANCHOR)
    orders = {"rrf": [lesson.values[:, anchor] for lesson in judging]}
    against = "rrf"
    if current is not None and set(current.features) <= set(options.features):
        against = current.name
        orders[against] = _scores(current, options.features, judging)
    mine = gains_of(judging, _scores(model, options.features, judging))
    others = {name: gains_of(judging, scores) for name, scores in orders.items()}
    estimates = {"learned": estimate(mine, seed=options.seed)}
    estimates |= {name: estimate(one, seed=options.seed) for name, one in others.items()}
    differences = {
        name: estimate_difference(mine, one, seed=options.seed) for name, one in others.items()
    }
    return estimates, differences, against


def _scores(
    model: FusionModel, names: Sequence[str], lessons: Sequence[Lesson]
) -> list[NDArray[np.float64]]:
    columns = [names.index(name) for name in model.features]
    return [model.score(lesson.values[:, columns]) for lesson in lessons]


def _parts(
    sessions: Sequence[Session], options: LearningOptions, propensities: Propensities | None
) -> Parted:
    """Part the clicked answers; one whose shown images are all clicked teaches nothing."""
    telling = [one for one in sessions if one.clicks and not one.is_clicked.all()]
    draw = np.random.default_rng(options.seed)
    judging: list[Session]
    fitted: list[Session]
    days = sorted({day_of(one.shown.at) for one in telling})
    is_by_days = len(days) >= LEAST_DAYS
    if is_by_days:
        first = days[-max(1, round(len(days) * JUDGED_SHARE))]
        judging = [one for one in telling if day_of(one.shown.at) >= first]
        rest = [one for one in telling if day_of(one.shown.at) < first]
    else:
        judging, rest = _by_query(telling, JUDGED_SHARE, draw)
    choosing, fitted = _by_query(rest, CHOSEN_SHARE, draw)
    if len(fitted) > MOST_FITTED:
        drawn = np.sort(draw.choice(len(fitted), MOST_FITTED, replace=False))
        fitted = [fitted[int(at)] for at in drawn]
    least = min(len(fitted), len(choosing), len(judging))
    if least < LEAST_CLICKED:
        wanted = round(LEAST_CLICKED / (CHOSEN_SHARE * (1 - JUDGED_SHARE)))
        raise TooFewClicksError(
            f"{len(telling)} answers were clicked, too few to learn from and to judge by",
            hint=f"come back with {wanted} or more",
        )
    fit, choose, judge = (
        [lesson_of(one, options, propensities) for one in part]
        for part in (fitted, choosing, judging)
    )
    return Parted(fit, choose, judge, "days" if is_by_days else "queries")


def _by_query(
    sessions: Sequence[Session], share: float, draw: np.random.Generator
) -> tuple[list[Session], list[Session]]:
    """Part sessions so that equal queries stay together; the first part has `share` of them."""
    names = sorted({one.shown.text_hash for one in sessions})
    chosen = draw.permutation(len(names))[: round(len(names) * share)]
    first: set[str] = {names[int(at)] for at in chosen}
    return (
        [one for one in sessions if one.shown.text_hash in first],
        [one for one in sessions if one.shown.text_hash not in first],
    )


def lesson_of(
    session: Session, options: LearningOptions, propensities: Propensities | None
) -> Lesson:
    """Return an answer's features in the order of the options, NaN for one not logged."""
    shown = session.shown
    count = len(shown.images)
    values = np.full((count, len(options.features)), np.nan)
    for at, name in enumerate(options.features):
        if name in shown.features:
            values[:, at] = shown.values[:, shown.features.index(name)]
    if not options.is_corrected:
        return Lesson(values, session.is_clicked, np.ones(count))
    positions = np.arange(1, count + 1)
    looked = propensities.at(positions) if propensities is not None else shown.propensities
    looks = np.minimum(1.0 / looked.astype(np.float64), options.clip)
    if shown.places is None or not shown.mixed_share:
        return Lesson(values, session.is_clicked, looks)
    weights = looks / _chance_of_order(shown)
    return Lesson(values, session.is_clicked, weights, looks, _orders(shown))


def _chance_of_order(shown: Shown) -> float:
    """Return how likely the order that was shown is, of the usual and the mixed one."""
    assert shown.places is not None
    in_place = (shown.places == np.arange(1, len(shown.images) + 1)[:, None]).sum(axis=0)
    usual, mixed = in_place.tolist()  # a swap moves two of them
    if usual == mixed:
        return 1.0
    return shown.mixed_share if mixed > usual else 1.0 - shown.mixed_share


def _orders(shown: Shown) -> NDArray[np.float64]:
    """Return `(n, 2)` the chance of the usual and the mixed order where they show an image."""
    assert shown.places is not None
    count = len(shown.images)
    shares = np.array([1 - shown.mixed_share, shown.mixed_share])
    orders = np.where(shown.places <= count, shares, 0.0)
    # One that a swap alone brought in counts as shown by both.
    is_shown = np.asarray(orders.any(axis=1), dtype=np.bool_)
    return np.where(is_shown[:, None], orders, shares)


def _estimate_json(one: Estimate) -> dict[str, float]:
    return {"value": round(one.value, 6), "low": round(one.low, 6), "high": round(one.high, 6)}
