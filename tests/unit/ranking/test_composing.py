"""Parts of a query as one vector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.ranking.composing import Parts, compose


def unit(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_one_part_is_itself():
    (vector,) = unit(1)
    assert compose(Parts(words=[(vector, 0.3)])) == pytest.approx(vector, abs=1e-6)


def test_nothing_and_what_cancels_out_is_no_vector():
    (vector,) = unit(1)
    assert compose(Parts()) is None
    assert compose(Parts(words=[(vector, 1.0), (vector, -1.0)])) is None


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 50))
def test_judgements_pull_and_push(more, less, seed):
    query, *judged = unit(1 + more + less, seed)
    wanted, refused = judged[:more], judged[more:]
    plain = Parts(words=[(query, 1.0)])
    vector = compose(Parts(words=plain.words, more=wanted, less=refused))
    if vector is None:
        return
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    if more and not less:
        mean = np.mean(wanted, axis=0)
        assert vector @ mean >= query @ mean - 1e-5


def test_words_weigh_more_beside_a_picture():
    picture, word, *_ = np.eye(16, dtype=np.float32)
    both = compose(Parts(words=[(word, 1.0)], pictures=[(picture, 1.0)]))
    assert both @ word > both @ picture
