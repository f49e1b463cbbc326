"""Fusion models in a store: kept, chosen, rolled back; and what orders when one is damaged."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.domain.errors import FusionModelError, StoreError
from lookalike.domain.fusion import FusionModel
from lookalike.engine.learning import learn_from, list_versions
from lookalike.engine.learning_models import RRF, FusionVersions
from lookalike.engine.learning_ranking import CurrentRanker
from lookalike.ranking.rrf import ReciprocalRankFusion
from lookalike.wiring.learning import check_learning
from tests.clicked import users

MODEL = FusionModel(("cosine",), (0.0,), (1.0,), (3.0,))
FEATURES = {
    "bm25": np.array([3.0, 1.0, 0.0], np.float32),
    "cosine": np.array([0.1, 0.2, 0.3], np.float32),
}


@pytest.fixture
def blobs(tmp_path):
    return ObstoreBlobStore(tmp_path.as_uri())


@pytest.fixture
def versions(blobs):
    return FusionVersions(blobs, clock=lambda: 5.0)


def test_versions_are_numbered_and_kept(versions) -> None:
    assert [versions.add(MODEL).version for _ in range(3)] == [1, 2, 3]
    assert versions.numbers() == [1, 2, 3]
    assert versions.load(2) == replace(MODEL, version=2, created=5.0)
    assert versions.current() is None


def test_of_writers_at_once_each_gets_its_own_number(versions) -> None:
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(versions.add(MODEL).version)) for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == list(range(1, 9))


def test_choosing_and_rolling_back(versions) -> None:
    for _ in range(2):
        versions.add(MODEL)
    versions.use(1)
    versions.use(2)
    versions.use(2)
    assert versions.current() == versions.load(2)
    assert versions.roll_back().version == 1
    assert versions.roll_back().version == RRF
    assert versions.current() is None
    with pytest.raises(FusionModelError, match="no other order"):
        versions.roll_back()
    with pytest.raises(FusionModelError, match="no fusion model 7"):
        versions.use(7)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"version": true, "former": []}', b"\xff"])
def test_a_damaged_choice_orders_by_rrf_until_chosen_anew(versions, blobs, data) -> None:
    versions.add(MODEL)
    versions.use(1)
    blobs.put("models/fusion-current.json", data)
    ranker = CurrentRanker(versions)
    np.testing.assert_array_equal(ranker.score(FEATURES), ReciprocalRankFusion().score(FEATURES))
    assert "damaged" in ranker.explain()["ranker_problem"]
    assert check_learning(versions).state == "warning"
    assert list_versions(versions)[0]["problem"]
    versions.use(1)
    assert CurrentRanker(versions).name == "fusion-000001"
    assert check_learning(versions).detail == "fusion-000001"


@pytest.mark.parametrize("data", [b"", b"{}", b"nothing", b'{"kind": "another"}'])
def test_a_damaged_model_orders_by_rrf_and_is_told(versions, blobs, data) -> None:
    versions.add(MODEL)
    versions.use(1)
    blobs.put("models/fusion-000001.json", data)
    ranker = CurrentRanker(versions)
    assert ranker.name == "rrf"
    assert ranker.model is None
    np.testing.assert_array_equal(ranker.score(FEATURES), ReciprocalRankFusion().score(FEATURES))
    finding = check_learning(versions)
    assert finding.state == "warning"
    assert "reciprocal rank fusion orders" in finding.detail
    assert list_versions(versions)[1]["problem"]


def test_a_deleted_model_orders_by_rrf(versions, blobs) -> None:
    versions.add(MODEL)
    versions.use(1)
    blobs.delete("models/fusion-000001.json")
    assert CurrentRanker(versions).name == "rrf"


def test_a_renamed_model_is_refused(versions, blobs) -> None:
    versions.add(MODEL)
    blobs.put("models/fusion-000009.json", blobs.get("models/fusion-000001.json"))
    with pytest.raises(FusionModelError, match="holds version 1"):
        versions.load(9)


class Away:
    """A blob store that is away."""

    def get(self, key):
        raise StoreError("away")


def test_a_promotion_is_seen_after_a_while_and_an_outage_takes_nothing_back(versions) -> None:
    now = [0.0]
    ranker = CurrentRanker(versions, refresh_s=30.0, clock=lambda: now[0])
    assert ranker.name == "rrf"
    versions.add(MODEL)
    versions.use(1)
    assert ranker.name == "rrf"
    now[0] = 31.0
    _wait(lambda: ranker.name == "fusion-000001")
    versions._blobs = Away()
    now[0] = 62.0
    _wait(lambda: ranker.name and ranker.explain().get("ranker_problem"))
    assert ranker.name == "fusion-000001"


def _wait(is_so) -> None:
    for _ in range(500):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came")


def test_learning_keeps_and_promotes_a_better_model_and_only_keeps_another(versions) -> None:
    log = users(2500, seed=1)
    dry = learn_from(log, versions, is_dry=True)
    assert (dry.is_promoted, versions.numbers()) == (False, [])
    first = learn_from(log, versions)
    assert first.is_promoted
    assert first.model.version == 1
    assert versions.current() == first.model
    again = learn_from(log, versions)
    assert not again.is_promoted
    assert again.model.parent == 1
    assert versions.numbers() == [1, 2]
    assert versions.choice().version == 1
    lines = list_versions(versions)
    assert [line["in_use"] for line in lines] == [False, True, False]
    assert first.to_json()["promoted"]
