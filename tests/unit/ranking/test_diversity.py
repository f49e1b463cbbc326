"""Maximal marginal relevance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.ranking.diversity import mmr_order


def unit(count, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.integers(0, 40), st.integers(0, 5), st.floats(0, 1))
def test_every_candidate_comes_once_and_the_best_first(count, seed, diversity):
    scores = np.random.default_rng(seed).permutation(count).astype(np.float32)
    order = mmr_order(scores, unit(count, seed), diversity)
    assert sorted(order.tolist()) == list(range(count))
    assert not count or order[0] == np.argmax(scores)


def test_without_diversity_the_order_is_that_of_the_scores():
    scores = np.array([0.1, 0.9, 0.5], np.float32)
    assert mmr_order(scores, unit(3, 0), 0.0).tolist() == [1, 2, 0]


@pytest.mark.parametrize(("diversity", "second"), [(0.1, 1), (0.6, 2)])
def test_a_repetition_gives_way(diversity, second):
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    order = mmr_order(np.array([1.0, 0.9, 0.6], np.float32), vectors, diversity)
    assert order[1] == second


def test_what_has_no_vector_repeats_nothing():
    vectors = np.array([[1, 0], [1, 0], [np.nan, np.nan]], np.float32)
    order = mmr_order(np.array([1.0, 0.9, 0.8], np.float32), vectors, 0.9)
    assert order.tolist() == [0, 2, 1]
