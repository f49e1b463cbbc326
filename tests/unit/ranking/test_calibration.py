"""Relevance: a tail probability over a background of the corpus."""

import numpy as np
import pytest

from lookalike.ranking.calibration import LEAST_SAMPLE, Background


def unit(rng, n, dim):
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_typical_cosine_is_even_and_a_standout_is_sure():
    rng = np.random.default_rng(1)
    background = Background(unit(rng, 500, 32))
    query = unit(rng, 1, 32)[0]
    cosines = background.vectors @ query
    relevance = background.relevance(
        query, np.array([np.median(cosines), cosines.max() + 0.5, -1.0], np.float32)
    )
    assert relevance[0] == pytest.approx(0.5, abs=0.02)
    assert relevance[1] > 0.999
    assert relevance[2] < 0.001


def test_rises_with_the_cosine_and_stays_in_bounds():
    rng = np.random.default_rng(2)
    background = Background(unit(rng, 200, 16))
    relevance = background.relevance(unit(rng, 1, 16)[0], np.linspace(-1, 1, 50, dtype=np.float32))
    assert (np.diff(relevance) >= 0).all()
    assert ((relevance >= 0) & (relevance <= 1)).all()


def test_a_small_corpus_gives_the_cosine():
    few = Background(np.zeros((LEAST_SAMPLE - 1, 4), np.float32))
    relevance = few.relevance(np.ones(4, np.float32), np.array([-0.2, 0.7], np.float32))
    assert relevance == pytest.approx([0.0, 0.7])
