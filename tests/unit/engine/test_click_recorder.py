"""Recording for a server: what is shown, swaps, a log that fails, and clicks that cannot be."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from lookalike.adapters.blobs_obstore import ObstoreBlobStore
from lookalike.adapters.clicks_sqlite import SqliteClickLog
from lookalike.domain.errors import ClickError, StoreError, UnknownAnswerError
from lookalike.domain.hits import Hit, SearchResult, Traced
from lookalike.domain.queries import Query, TextMatch, TextPart
from lookalike.engine.click_recorder import ClickRecorder, RecordingOptions
from lookalike.engine.learning_models import FusionVersions
from lookalike.engine.learning_ranking import CurrentRanker

QUERY = Query("A dog", texts=(TextPart("a dog"),), match=TextMatch("a dog"))
ID = "ab" * 16


@dataclass
class Record:
    """As much of a record as is recorded."""

    id: str


@dataclass
class Failing:
    """A click log that cannot be written."""

    calls: list = field(default_factory=list)

    def add_answers(self, answers):
        self.calls.append(len(answers))
        raise StoreError("no room")

    def close(self):
        pass


def result(count=12, query_id=ID, is_traced=True) -> SearchResult:
    hits = [
        Hit(
            Record(f"{at:032x}"), 1.0 - at / 100, 1.0,
            traced=Traced({"rrf": 1.0 - at / 100, "cosine": np.nan}, at + 1, count - at)
            if is_traced else None,
        )
        for at in range(count)
    ]  # fmt: skip
    return SearchResult("A dog", hits, count, query_id=query_id)


def make(tmp_path, log=None, **options):
    log = log or SqliteClickLog(tmp_path / "clicks.sqlite", clock=lambda: 100.0)
    ranker = CurrentRanker(FusionVersions(ObstoreBlobStore(tmp_path.as_uri())))
    asked = RecordingOptions(salt="index", **options)
    return ClickRecorder(log, ranker, asked, clock=lambda: 100.0, draw=random.Random(3)), log


def test_what_is_shown_is_written_with_a_hash_alone(tmp_path) -> None:
    recorder, log = make(tmp_path)
    shown = recorder.show(recorder.traced(QUERY), result())
    assert shown.is_logged
    recorder.click(ID, f"{2:032x}", 3)
    (session,) = log.sessions()
    assert session.shown.text == ""
    assert len(session.shown.text_hash) == 32
    assert session.shown.images == tuple(f"{at:032x}" for at in range(12))
    assert session.shown.places.tolist()[0] == [1, 12]
    assert session.is_clicked.tolist().index(True) == 2
    np.testing.assert_allclose(session.shown.propensities[:3], [1, 1 / 2, 1 / 3], rtol=1e-5)
    recorder.close()


def test_words_are_kept_where_that_is_asked(tmp_path) -> None:
    recorder, log = make(tmp_path, is_text_kept=True)
    recorder.show(recorder.traced(QUERY), result())
    assert recorder.flush()
    assert next(log.sessions()).shown.text == "A dog"
    recorder.close()


@pytest.mark.parametrize(
    "query",
    [
        Query("x", texts=(TextPart("x"),)),
        Query("x", match=TextMatch("x")),
        Query("x", texts=(TextPart("x"),), match=TextMatch("x"), cursor="y"),
        Query("x", texts=(TextPart("x"),), match=TextMatch("x"), reading=("dog",)),
        Query("x", texts=(TextPart("x"),), match=TextMatch("x"), is_of_objects=True),
    ],
)
def test_only_first_pages_for_words_are_recorded(tmp_path, query) -> None:
    recorder, log = make(tmp_path, mixed_share=1.0)
    asked = recorder.traced(query)
    assert asked == query
    assert not recorder.show(asked, result()).is_logged
    assert recorder.flush()
    assert log.counts().answers == 0
    recorder.close()


def test_an_answer_of_one_path_alone_is_not_recorded(tmp_path) -> None:
    recorder, log = make(tmp_path)
    asked = recorder.traced(QUERY)
    for odd in (result(is_traced=False), result(count=0), result(query_id="odd")):
        assert recorder.show(asked, odd) == odd
    recorder.close()
    assert log.counts().answers == 0


def test_two_positions_are_drawn_and_swapped_half_of_the_time(tmp_path) -> None:
    recorder, log = make(tmp_path, swap_share=1.0)
    asked = recorder.traced(QUERY)
    for number in range(200):
        shown = recorder.show(asked, result(query_id=f"{number:032x}"))
        assert sorted(hit.record.id for hit in shown.hits) == [f"{at:032x}" for at in range(12)]
    assert recorder.flush()
    swaps = [session.shown for session in log.sessions()]
    assert 70 < sum(one.swap.is_swapped for one in swaps) < 130
    assert {position for one in swaps for position in (one.swap.low, one.swap.high)} == set(
        range(1, 11)
    )
    for one in swaps:
        moved = [at + 1 for at, image in enumerate(one.images) if image != f"{at:032x}"]
        assert moved == ([one.swap.low, one.swap.high] if one.swap.is_swapped else [])
    recorder.close()


def test_a_share_of_the_answers_is_mixed(tmp_path) -> None:
    recorder, _ = make(tmp_path, mixed_share=0.3)
    share = np.mean([recorder.traced(QUERY).is_mixed for _ in range(500)])
    assert 0.2 < share < 0.4
    recorder.close()


def test_a_log_that_fails_fails_no_search(tmp_path) -> None:
    recorder, log = make(tmp_path, log=Failing())
    assert recorder.show(recorder.traced(QUERY), result()).hits
    assert recorder.flush()
    assert recorder.dropped == 1
    assert log.calls == [1]
    recorder.close()
    recorder.close()


def test_clicks_that_cannot_be_are_refused(tmp_path) -> None:
    recorder, _ = make(tmp_path)
    recorder.show(recorder.traced(QUERY), result())
    with pytest.raises(UnknownAnswerError):
        recorder.click("cd" * 16, "0" * 32, 1)
    for image, position in (("0" * 32, -1), ("0" * 32, 0), ("0" * 32, 2), ("x", 1)):
        with pytest.raises(ClickError):
            recorder.click(ID, image, position)
    recorder.close()
