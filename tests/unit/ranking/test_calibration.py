"""Relevance: the chance of an answer, told by what stands out of a background."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.coverage import coverage, telling_words
from lookalike.domain.queries import TextMatch
from lookalike.ranking.calibration import EVIDENCE, LEAST_SAMPLE, Background

KINDS = tuple(EVIDENCE)


def unit(rng, n, dim):
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def asked(size=500):
    rng = np.random.default_rng(1)
    return Background(unit(rng, 500, 32), size), unit(rng, 1, 32)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_rises_with_the_cosine_and_stays_in_bounds(kind):
    background, query = asked()
    relevance = background.relevance(query, np.linspace(-1, 1, 50, dtype=np.float32), kind=kind)
    assert (np.diff(relevance) >= 0).all()
    assert ((relevance >= 0) & (relevance <= 1)).all()


def test_what_chance_gives_is_doubtful_and_a_standout_is_sure():
    background, query = asked()
    cosines = background.vectors @ query
    usual, sure = background.relevance(
        query, np.array([cosines.max(), cosines.max() + 0.7], np.float32)
    )
    assert 0.1 < usual < 0.6
    assert sure > 0.75


def test_in_a_larger_corpus_the_same_cosine_says_less():
    cosine = np.array([0.6], np.float32)
    few, many = (one.relevance(query, cosine) for one, query in (asked(500), asked(10_000_000)))
    assert many < few


def test_words_beside_an_image_speak_for_it():
    background, query = asked()
    without, half, whole = background.relevance(
        query, np.full(3, 0.3, np.float32), coverage=np.array([0, 0.5, 1], np.float32)
    )
    assert without < half < whole


def test_a_copy_of_the_asked_picture_is_relevant():
    background, query = asked(10**9)
    assert background.relevance(query, np.array([0.98], np.float32), kind="image")[0] >= 0.97


def test_a_small_corpus_gives_the_cosine():
    few = Background(np.zeros((LEAST_SAMPLE - 1, 4), np.float32))
    relevance = few.relevance(np.ones(4, np.float32), np.array([-0.2, 0.7], np.float32))
    assert relevance == pytest.approx([0.0, 0.7])
    assert not few.is_telling


@given(st.text(max_size=60), st.lists(st.text(max_size=12), max_size=6))
def test_coverage_is_a_share(words, why):
    assert 0.0 <= coverage(telling_words(TextMatch(words)), why) <= 1.0


def test_coverage_counts_words_once_and_none_that_say_nothing():
    words = telling_words(TextMatch("a dog on the beach", phrases=("golden gate",)))
    assert words == {"dog", "beach", "golden", "gate"}
    assert coverage(words, ("title:dog", "caption:dog", "path:on", "caption:gate")) == 0.5
    assert coverage(frozenset(), ("title:dog",)) == 0.0
    phrase = telling_words(TextMatch(phrases=("the golden gate",)))
    assert coverage(phrase, ('caption:"the golden gate"',)) == 1.0
