"""Learning from clicks: propensities, fits, estimates, and when a model is promoted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lookalike.domain.clicks_propensity import (
    LEAST_PROPENSITY,
    estimate_propensities,
    usual_propensities,
)
from lookalike.domain.errors import TooFewClicksError
from lookalike.domain.fusion_estimates import (
    Estimate,
    by_chance,
    estimate,
    estimate_difference,
    gains_of,
)
from lookalike.domain.fusion_fitting import Fitter, Lesson, minimise, standard_of
from lookalike.domain.fusion_learning import LearningOptions, learn, lesson_of
from tests.clicked import NAMES, mixed_users, users

OPTIONS = LearningOptions(NAMES, seed=1)


@pytest.mark.parametrize("bias", [0.5, 1.0, 1.5])
def test_propensities_are_found_again_from_swaps(bias: float) -> None:
    found = estimate_propensities(users(6000, bias=bias, seed=2))
    true = np.arange(1, 11) ** -bias
    assert abs(found.power - bias) < 0.35
    np.testing.assert_allclose(np.log(found.values[:10]), np.log(true), atol=0.6)
    assert found.clicks > 400
    assert found.errors[0] == 0
    assert (found.errors[1:10] < 0.4).all()


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_propensities_are_found_from_images_that_two_orders_show_elsewhere(bias: float) -> None:
    found = estimate_propensities(mixed_users(8000, bias=bias, seed=3))
    assert abs(found.power - bias) < 0.3
    assert found.clicks > 500


@pytest.mark.parametrize("make", [Fitter.pairwise, Fitter.pointwise])
def test_clicks_by_chance_favour_no_order(make) -> None:
    """What is seldom shown weighs more when it is clicked, and no less when it is not."""
    log = mixed_users(6000, bias=1.0, seed=4, right=0.2)  # nobody wants anything
    known = estimate_propensities(log)
    lessons = [lesson_of(one, OPTIONS, known) for one in log if one.clicks]
    model = make(lessons, NAMES, standard_of(lessons)).fit([1.0])[0]
    assert np.abs(model.weights).max() < 0.25


def test_a_model_that_clicks_as_they_fell_belie_is_not_promoted() -> None:
    log = users(3000, seed=11)
    found = learn(log, OPTIONS)
    assert found.is_better
    assert not replace(found, raw_difference=Estimate(-0.2, -0.3, -0.1)).is_better
    assert not replace(found, is_estimated=False).is_better


def test_without_swaps_the_usual_propensities_hold() -> None:
    found = estimate_propensities(users(50, swap_share=0.0))
    np.testing.assert_allclose(found.values, 1 / np.arange(1, 21))
    assert found.clicks == 0


def test_propensities_go_on_behind_the_last_known_position() -> None:
    usual = usual_propensities()
    np.testing.assert_allclose(usual.at(np.array([1, 10, 20, 10_000])), [1, 0.1, 0.05, 0.01])
    assert usual.at(np.array([10**6]))[0] == LEAST_PROPENSITY


def test_a_convex_loss_is_minimised() -> None:
    def loss(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        away = at - np.array([1.0, -2.0])
        return float(np.cosh(away).sum()), np.sinh(away), np.diag(np.cosh(away))

    np.testing.assert_allclose(minimise(loss, np.zeros(2)), [1.0, -2.0], atol=1e-4)


def _lessons(count: int = 200) -> list[Lesson]:
    draw = np.random.default_rng(3)
    lessons = []
    for _ in range(count):
        values = np.column_stack([draw.standard_normal(6), draw.standard_normal(6), np.ones(6)])
        chance = 1 / (1 + np.exp(1 - 2 * values[:, 0] + values[:, 1]))
        lessons.append(Lesson(values, draw.random(6) < chance, np.ones(6)))
    return lessons


@pytest.mark.parametrize("make", [Fitter.pairwise, Fitter.pointwise])
def test_both_objectives_find_the_weights_behind_the_clicks(make) -> None:
    lessons = _lessons(600)
    standard = standard_of(lessons)
    model = make(lessons, ("cosine", "region", "matched"), standard).fit([1e-4])[0]
    weights = np.array(model.weights) / np.array(model.scales)
    assert 1.6 < weights[0] < 2.6
    assert -1.3 < weights[1] < -0.7
    assert abs(weights[2]) < 1e-6  # it is the same everywhere


def test_a_heavy_weight_keeps_the_order_of_the_anchor() -> None:
    lessons = [Lesson(one.values[:, :2], one.is_clicked, one.weights) for one in _lessons()]
    fitter = Fitter.pairwise(lessons, ("rrf", "cosine"), standard_of(lessons))
    weights = fitter.fit([1000.0])[0].weights
    assert weights[0] > 0.5
    assert abs(weights[1]) < 0.01


def test_missing_values_teach_nothing_and_cost_nothing() -> None:
    values = np.array([[np.nan, 1.0], [0.0, np.nan], [1.0, 0.0]])
    lesson = Lesson(values, np.array([True, False, False]), np.ones(3))
    model = Fitter.pointwise([lesson] * 40, ("rrf", "cosine"), standard_of([lesson])).fit([0.1])[0]
    assert np.isfinite(model.weights).all()
    assert np.isfinite(model.score(values)).all()


def test_the_estimate_of_a_better_order_is_higher() -> None:
    values = np.zeros((4, 1))
    lesson = Lesson(values, np.array([False, False, True, False]), np.array([1.0, 2.0, 3.0, 4.0]))
    best = gains_of([lesson] * 5, [np.array([0.0, 0.0, 1.0, 0.0])] * 5)
    worst = gains_of([lesson] * 5, [np.array([1.0, 1.0, 0.0, 1.0])] * 5)
    assert best.value == 1.0
    assert worst.value == pytest.approx(1 / np.log2(5))
    lead = estimate_difference(best, worst, seed=0)
    assert lead.low == pytest.approx(lead.value) == pytest.approx(lead.high)
    assert estimate(gains_of([], []), seed=0).value == 0.0


def test_learning_beats_the_order_that_was_shown_and_repeats_itself() -> None:
    log = users(3000, seed=4)
    found = learn(log, OPTIONS)
    assert found.is_better
    assert found.estimates["learned"].value > found.estimates["rrf"].value + 0.05
    assert found.parted_by == "queries"
    assert found.model == learn(log, OPTIONS).model
    assert found.counts["answers"] == 3000


def test_correction_brings_up_what_was_shown_low() -> None:
    log = users(6000, seed=5, bias=1.5)
    raw = LearningOptions(NAMES, seed=1, is_corrected=False)
    judges = users(1500, seed=6, bias=0.0)
    scores = {}
    for name, options in (("corrected", OPTIONS), ("raw", raw)):
        model = learn(log, options).model
        ranks = [
            np.argsort(np.argsort(-model.score(one.shown.values.astype(float))))[one.is_clicked]
            for one in judges
            if one.is_clicked.sum() == 1
        ]
        scores[name] = np.mean(np.concatenate(ranks))
    assert scores["corrected"] < scores["raw"]


def test_a_model_is_judged_against_the_one_in_use_and_not_promoted_for_being_the_same() -> None:
    log = users(2000, seed=7)
    first = learn(log, OPTIONS).model
    again = learn(log, OPTIONS, current=first)
    assert again.against == first.name
    assert not again.is_better
    assert set(again.estimates) == {"learned", "rrf", first.name}


def test_days_are_held_out_where_there_are_enough() -> None:
    assert learn(users(2000, seed=8, days=12), OPTIONS).parted_by == "days"


def test_a_clock_that_went_back_changes_no_more_than_the_day() -> None:
    log = users(2000, seed=9, days=12)
    assert learn(list(reversed(log)), OPTIONS).counts == learn(log, OPTIONS).counts


@pytest.mark.parametrize("count", [0, 1, 60])
def test_too_few_clicks_are_said(count: int) -> None:
    with pytest.raises(TooFewClicksError, match="too few") as raised:
        learn(users(count), OPTIONS)
    assert "214" in raised.value.hint


def test_features_that_were_not_logged_are_missing() -> None:
    log = users(1500, seed=10)
    few = LearningOptions(("rrf", "cosine", "region"), seed=1)
    assert np.isfinite(learn(log, few).model.weights).all()


def test_caution_lets_looks_fall_more_slowly() -> None:
    known = usual_propensities()
    few = replace(known, errors=np.linspace(0, 0.6, len(known.values)), power_error=0.4)
    cautious = few.cautious()
    positions = np.arange(1, 60)
    assert (cautious.at(positions) >= few.at(positions)).all()
    assert cautious.power == pytest.approx(0.6)
    assert cautious.at(np.array([1]))[0] == 1
    sure = replace(known, errors=np.zeros(len(known.values)), power_error=0.0)
    np.testing.assert_allclose(sure.cautious().at(positions), sure.at(positions))


def test_clicks_by_chance_praise_no_order_that_shows_first_what_is_seldom_shown() -> None:
    log = [one for one in mixed_users(3000, seed=5, bias=0.0, right=0.2) if one.clicks]
    even = replace(usual_propensities(0.0), clicks=1000)
    lessons = [lesson_of(one, OPTIONS, even) for one in log]
    shown = [one.shown for one in log]
    seldom = [(one.places[:, 0] > len(one.images)).astype(float) for one in shown]
    as_shown = [-np.arange(len(one.images), dtype=float) for one in shown]
    lead = estimate_difference(gains_of(lessons, seldom), gains_of(lessons, as_shown), seed=1)
    assert lead.low < 0.02
    assert lead.high > -0.02
    assert gains_of(lessons, as_shown).value == pytest.approx(by_chance(lessons).value, abs=0.02)
