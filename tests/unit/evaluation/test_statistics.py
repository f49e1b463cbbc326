import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lookalike.evaluation.statistics import (
    EXACT_QUERIES,
    bootstrap_intervals,
    paired_differences,
    permutation_p_values,
)

SCORES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.floats(0, 1)
)


@given(SCORES, st.integers(0, 5))
def test_intervals_lie_within_the_scores_and_repeat(values, seed):
    low, high = bootstrap_intervals(values, seed=seed, resamples=200).T
    assert np.all(low <= high)
    assert np.all(low >= values.min(axis=0) - 1e-12)
    assert np.all(high <= values.max(axis=0) + 1e-12)
    again = bootstrap_intervals(values, seed=seed, resamples=200)
    np.testing.assert_array_equal(again.T, [low, high])


def test_an_interval_is_as_wide_as_the_normal_one():
    values = np.random.default_rng(1).normal(0.5, 0.1, (400, 1))
    ((low, high),) = bootstrap_intervals(values)
    reach = 1.96 * values.std() / math.sqrt(400)
    assert low == pytest.approx(values.mean() - reach, abs=0.001)
    assert high == pytest.approx(values.mean() + reach, abs=0.001)


def test_draws_in_parts_cover_all_queries(monkeypatch):
    monkeypatch.setattr("lookalike.evaluation.statistics._CELLS", 50)
    values = np.linspace(0, 1, 20)[:, None]
    ((low, high),) = bootstrap_intervals(values, resamples=1001)
    assert 0.3 < low < 0.5 < high < 0.7


def test_p_values_worked_out_by_hand():
    # Of the 8 assignments of signs to 3, 2, 1 only +++ and --- reach 6; to 3, 2, -1 four reach 4.
    differences = np.array([[3.0, 3.0, 0.0], [2.0, 2.0, 0.0], [1.0, -1.0, 0.0]])
    assert permutation_p_values(differences).tolist() == [2 / 8, 4 / 8, 1.0]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 6), st.just(1)), elements=st.floats(-1, 1)))
def test_of_few_queries_every_assignment_is_counted(differences):
    column = differences[:, 0].tolist()
    reached = abs(sum(column)) - 1e-9
    sums = [
        abs(math.fsum(sign * one for sign, one in zip(signs, column, strict=True)))
        for signs in product((1, -1), repeat=len(column))
    ]
    (p,) = permutation_p_values(differences)
    assert p == sum(one >= reached for one in sums) / len(sums)


def test_of_many_queries_the_sample_is_near_the_truth():
    # n equal differences reach their sum in 2 of 2^n assignments: never within so many.
    (p,) = permutation_p_values(np.ones((40, 1)), resamples=999)
    assert p == 1 / 1000
    noise = np.random.default_rng(0).normal(0, 1, (200, 1))
    (p,) = permutation_p_values(noise)
    z = abs(noise.sum()) / math.sqrt((noise**2).sum())
    assert p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)


@given(SCORES, st.data())
def test_a_difference_turns_with_its_sides(ours, data):
    theirs = data.draw(hnp.arrays(np.float64, ours.shape, elements=st.floats(0, 1)))
    there = paired_differences(ours, theirs)
    back = paired_differences(theirs, ours)
    for one, other in zip(there, back, strict=True):
        assert one.mean == pytest.approx(-other.mean)
        assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
        assert 0.0 < one.p <= 1.0
        assert one.low == pytest.approx(-other.high, abs=1e-9)
        if len(ours) <= EXACT_QUERIES:
            assert one.p == other.p


def test_equal_sides_do_not_differ():
    values = np.random.default_rng(0).random((30, 2))
    for one in paired_differences(values, values + 1e-7):  # a report keeps six digits
        assert (one.mean, one.low, one.high, one.p) == (0.0, 0.0, 0.0, 1.0)
        assert (one.wins, one.ties, one.losses) == (0, 30, 0)
