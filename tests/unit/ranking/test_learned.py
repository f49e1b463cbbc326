"""The learned ranker: features over all candidates, shares that sum up, and when RRF stands in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.domain.fusion import FEATURES, FusionModel
from lookalike.ranking.fusion_features import derive_features
from lookalike.ranking.learned import LinearRanker
from lookalike.ranking.rrf import ReciprocalRankFusion

NAMES = tuple(FEATURES)
MODEL = FusionModel(
    NAMES, (0.1,) * len(NAMES), (0.5,) * len(NAMES), tuple(range(1, len(NAMES) + 1)), 0.5, version=1
)
FEATURES_OF_FOUR = {
    "bm25": np.array([4.0, 0.0, 2.0, 2.0], np.float32),
    "cosine": np.array([0.1, 0.4, np.nan, 0.2], np.float32),
    "region": np.array([np.nan, 0.5, 0.3, np.nan], np.float32),
}


def test_features_are_told_over_all_candidates() -> None:
    table = dict(zip(NAMES, derive_features(FEATURES_OF_FOUR).T, strict=True))
    third = 1 / np.log2(3)
    np.testing.assert_allclose(table["bm25_share"], [1, 0, 0.5, 0.5])
    np.testing.assert_allclose(table["bm25_rank"], [1, 0, third, third])
    np.testing.assert_allclose(table["bm25_lead"], np.array([1, 0, 0.5, 0.5]) * (1 - 1 / 3))
    np.testing.assert_allclose(np.nanmean(table["cosine_z"]), 0, atol=1e-6)
    np.testing.assert_allclose(table["matched"], [1, 0, 1, 1])
    np.testing.assert_allclose(table["cosine_gap"], [-0.3, 0, np.nan, -0.2], atol=1e-6)
    np.testing.assert_allclose(table["cosine_rank"], [0.5, 1, np.nan, third], atol=1e-6)
    np.testing.assert_allclose(table["region_seen"], [0, 1, 1, 0])
    np.testing.assert_allclose(table["rrf"], ReciprocalRankFusion().score(FEATURES_OF_FOUR))


def test_fields_of_the_text_are_shares_of_the_best_and_told_if_wanted() -> None:
    told = FEATURES_OF_FOUR | {
        "labels": np.array([1, 0, 2, 0], np.float32),
        "recency": np.array([0, 0.5, 1, 0.2], np.float32),
    }
    table = dict(zip(NAMES, derive_features(told).T, strict=True))
    np.testing.assert_allclose(table["label_share"], [0.25, 0, 0.5, 0])
    np.testing.assert_allclose(table["recency"], told["recency"])
    assert np.isnan(table["ocr_share"]).all()
    assert LinearRanker(MODEL).wants == {"labels", "ocr_text", "colors", "recency"}
    weights = tuple(float(name == "label_share") for name in NAMES)
    assert LinearRanker(replace(MODEL, weights=weights)).wants == {"labels"}
    assert not ReciprocalRankFusion().wants


def test_shares_sum_up_to_the_score() -> None:
    ranker = LinearRanker(MODEL)
    total = np.sum(list(ranker.shares(FEATURES_OF_FOUR).values()), axis=0)
    np.testing.assert_allclose(1 / (1 + np.exp(-total)), ranker.score(FEATURES_OF_FOUR), rtol=1e-5)
    assert ranker.explain()["ranker"] == "fusion-000001"


def test_the_shares_of_rrf_sum_up_to_the_score() -> None:
    ranker = ReciprocalRankFusion()
    shares = ranker.shares(FEATURES_OF_FOUR)
    assert set(shares) == {"bm25", "cosine"}
    np.testing.assert_allclose(
        np.sum(list(shares.values()), axis=0), ranker.score(FEATURES_OF_FOUR), rtol=1e-5
    )


@pytest.mark.parametrize(
    "features",
    [
        {},
        {"cosine": FEATURES_OF_FOUR["cosine"]},
        {"bm25": FEATURES_OF_FOUR["bm25"]},
        {"bm25": np.zeros(4, np.float32), "cosine": FEATURES_OF_FOUR["cosine"]},
        {"bm25": FEATURES_OF_FOUR["bm25"], "cosine": np.full(4, np.nan, np.float32)},
    ],
)
def test_where_one_path_alone_answers_rrf_orders(features: dict[str, np.ndarray]) -> None:
    ranker = LinearRanker(MODEL)
    np.testing.assert_array_equal(ranker.score(features), ReciprocalRankFusion().score(features))
    assert ranker.shares(features).keys() == ReciprocalRankFusion().shares(features).keys()


VALUES = st.floats(-10, 100, width=32) | st.just(np.nan)


@given(
    st.integers(0, 8).flatmap(
        lambda n: st.fixed_dictionaries(
            {name: arrays.arrays(np.float32, n, elements=VALUES) for name in FEATURES_OF_FOUR}
        )
    )
)
def test_any_features_give_scores_in_bounds(features: dict[str, np.ndarray]) -> None:
    before = {name: values.copy() for name, values in features.items()}
    scores = LinearRanker(MODEL).score(features)
    assert scores.dtype == np.float32
    assert np.all((scores >= 0) & (scores <= 1))
    for name, values in before.items():
        np.testing.assert_array_equal(features[name], values)
