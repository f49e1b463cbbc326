"""Logged answers and clicks: what cannot be is refused, and lines read back as they were."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.clicks import (
    MOST_SHOWN,
    Session,
    Swap,
    check_answer,
    check_click,
    check_shown,
    session_json,
    session_of,
    text_hash,
)
from lookalike.domain.errors import ClickError
from tests.clicked import answer, click

IMAGE = "0" * 32


@pytest.mark.parametrize("position", [0, -1, -(10**9), MOST_SHOWN + 1, 10**30])
def test_a_position_that_cannot_be_is_refused(position: int) -> None:
    with pytest.raises(ClickError, match="position must lie"):
        check_click("a" * 32, IMAGE, position, 0.0)


@pytest.mark.parametrize("query_id", ["", "a" * 31, "g" * 32, "A" * 32, "a" * 33, "../x"])
def test_a_malformed_query_id_is_refused(query_id: str) -> None:
    with pytest.raises(ClickError, match="query_id"):
        check_click(query_id, IMAGE, 1, 0.0)


def test_a_malformed_image_id_is_refused() -> None:
    with pytest.raises(ClickError, match="image_id"):
        check_click("a" * 32, "nothing", 1, 0.0)


def test_a_click_stands_where_its_image_was_shown() -> None:
    shown = answer()
    check_shown(click(shown, 2), shown.images)
    with pytest.raises(ClickError, match="did not stand at position 3"):
        check_shown(replace(click(shown, 2), position=3), shown.images)
    with pytest.raises(ClickError, match="did not stand at position 4"):
        check_shown(replace(click(shown, 2), position=4), shown.images)


def test_clicks_are_marked_once_and_foreign_ones_not_at_all() -> None:
    shown = answer()
    foreign = replace(click(shown, 1), position=2)
    session = Session(shown, (click(shown, 3), click(shown, 3), foreign))
    assert session.is_clicked.tolist() == [False, False, True]


@given(st.integers(1, 6), st.booleans(), st.lists(st.integers(1, 6), max_size=4))
def test_a_session_reads_back(count: int, has_swap: bool, positions: list[int]) -> None:
    swap = Swap(1, count, is_swapped=True) if has_swap and count > 1 else None
    values = np.full((count, 2), np.nan, dtype=np.float32)
    values[0] = [1.5, -0.25]
    shown = answer(count=count, values=values, swap=swap, text="a d\N{LATIN SMALL LETTER O}g")
    clicks = tuple(click(shown, at) for at in positions if at <= count)
    session = Session(shown, clicks)
    back = session_of(json.loads(json.dumps(session_json(session))))
    assert back == session
    np.testing.assert_array_equal(back.shown.values, values)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": []}, {"at": float("nan")}, {"swap": [2, 1, True]}, {"swap": [1, 9, True]},
        {"propensities": [0.0, 0.5, 0.1]}, {"propensities": [1.0]}, {"query_id": "x"},
        {"features": {"smell": [1, 2, 3]}}, {"features": [1]}, {"clicks": [[0, IMAGE, 1.0]]},
        {"clicks": [3]}, {"images": None},
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    line = session_json(Session(answer()))
    with pytest.raises(ClickError):
        session_of(line | changes)


@pytest.mark.parametrize("line", [None, 1, "x", [], {}])
def test_no_line_at_all_is_refused(line: object) -> None:
    with pytest.raises(ClickError):
        session_of(line)


def test_an_answer_with_nothing_is_refused() -> None:
    with pytest.raises(ClickError):
        check_answer(answer(count=0))


def test_equal_queries_of_one_index_hash_alike() -> None:
    assert text_hash("A  Dog", "x") == text_hash("a dog", "x")
    assert text_hash("a dog", "x") != text_hash("a dog", "y")
    assert text_hash("\udcff", "x") != text_hash("", "x")
