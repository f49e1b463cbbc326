"""Reciprocal rank fusion: the formula, and the properties it is chosen for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.ranking.rrf import ReciprocalRankFusion, competition_ranks

scores = st.lists(st.integers(0, 20), min_size=1, max_size=30)


def test_formula_on_two_paths():
    fusion = ReciprocalRankFusion(rrf_k=60)
    features = {
        "bm25": np.array([3.0, 0.0, 1.0], np.float32),
        "cosine": np.array([0.1, 0.9, 0.5], np.float32),
    }
    best = 2 / 61
    expected = np.array([1 / 61 + 1 / 63, 1 / 61, 1 / 62 + 1 / 62]) / best
    assert fusion.score(features) == pytest.approx(expected)


def test_a_failed_path_adds_nothing():
    cosine = np.array([0.3, 0.9], np.float32)
    alone = ReciprocalRankFusion().score({"cosine": cosine})
    beside = ReciprocalRankFusion().score(
        {"cosine": cosine, "bm25": np.array([np.nan, np.nan], np.float32)}
    )
    assert beside == pytest.approx(alone)


def test_no_candidates():
    assert ReciprocalRankFusion().score({}).shape == (0,)
    empty = np.empty(0, np.float32)
    assert ReciprocalRankFusion().score({"cosine": empty, "bm25": empty}).shape == (0,)


def test_equal_values_share_the_best_rank():
    assert competition_ranks(np.array([5, 7, 5, 1], np.float32)).tolist() == [2, 1, 2, 4]


@given(scores, scores)
def test_order_of_sources_does_not_matter(bm25, cosine):
    n = min(len(bm25), len(cosine))
    a, b = np.array(bm25[:n], np.float32), np.array(cosine[:n], np.float32)
    one = ReciprocalRankFusion(weights={"bm25": 1.0, "cosine": 1.0}).score({"bm25": a, "cosine": b})
    two = ReciprocalRankFusion(weights={"cosine": 1.0, "bm25": 1.0}).score({"cosine": b, "bm25": a})
    assert one == pytest.approx(two)
    assert ((one >= 0) & (one <= 1 + 1e-6)).all()


@given(scores, st.data())
def test_a_better_rank_never_scores_less(cosine, data):
    values = np.array(cosine, np.float32)
    at = data.draw(st.integers(0, len(values) - 1))
    raised = values.copy()
    raised[at] += 5
    fusion = ReciprocalRankFusion()
    assert fusion.score({"cosine": raised})[at] >= fusion.score({"cosine": values})[at] - 1e-7


def test_arguments_are_left_alone():
    values = np.array([1.0, 2.0], np.float32)
    values.setflags(write=False)
    ReciprocalRankFusion().score({"cosine": values, "bm25": values})
