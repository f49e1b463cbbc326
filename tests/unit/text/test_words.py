"""Words and vocabularies, without an index."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lookalike.adapters.text_vocabulary import Vocabulary, edit_distance, slip_cost
from lookalike.adapters.text_words import (
    PART,
    STOP_WORDS,
    indexable,
    joined_parts,
    parts_of,
    path_words,
)

WORDS = st.text("abcde", max_size=7)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a/beachDay.jpg", "a/beach Day.jpg beachDay"),
        ("IMG_1234.JPG", "IMG_1234.JPG"),
        ("HTMLPage2", "HTML Page 2 HTMLPage2"),
        ("red-car photo", "red-car photo"),
    ],
)
def test_path_words(path: str, words: str) -> None:
    assert path_words(path) == words


def test_text_that_cannot_be_encoded_is_indexable() -> None:
    assert indexable("a\udc80 ﬁsh").encode() == b"a? fish"


TERMS = st.lists(st.text("abc犬", min_size=1, max_size=4), max_size=5)


@given(TERMS, st.text("abc犬 ", min_size=PART, max_size=6))
@example(["ab", "c"], "b c")
def test_parts_in_a_row_are_parts_of_the_text(terms: list[str], wanted: str) -> None:
    held, asked = joined_parts(terms).split(), parts_of(wanted)
    starts = range(len(held) - len(asked) + 1)
    is_held = any(held[begin : begin + len(asked)] == asked for begin in starts)
    assert is_held == (wanted in f" {' '.join(terms)} ")


@pytest.mark.parametrize(
    ("left", "right", "distance"),
    [("beach", "beach", 0), ("ebach", "beach", 1), ("beech", "beach", 1), ("", "abc", 3)],
)
def test_edit_distance(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right) == distance


@given(WORDS, WORDS)
def test_edit_distance_is_symmetric_and_bounded(left: str, right: str) -> None:
    distance = edit_distance(left, right)
    assert distance == edit_distance(right, left)
    assert (distance == 0) == (left == right)
    assert abs(len(left) - len(right)) <= distance <= max(len(left), len(right))


def test_the_nearer_then_the_more_frequent_word_wins() -> None:
    words = Vocabulary({"mountain": 2, "fountain": 90, "mountains": 50, "cart": 9, "rare": 1})
    assert words.nearest("moutain") == "mountain"
    assert words.nearest("moutnains") == "mountains"
    assert words.nearest("omuntain") == "mountain"
    assert words.nearest("card") == "cart"
    assert words.nearest("rara") is None
    assert words.nearest("xountain") == "fountain"
    assert words.nearest("xountian") is None, "two edits, and another first letter"
    assert words.nearest("car") is None
    assert len(words) == 5


def test_likely_slips_cost_less() -> None:
    words = Vocabulary({"lakes": 10, "bakes": 10, "wakes": 10, "fakes": 10, "takes": 10})
    assert words.nearest("laeks") == "lakes"
    assert slip_cost("abc", "abc") == 0
    assert slip_cost("abcc", "abc") < slip_cost("abcd", "abc") == 1
    assert slip_cost("bac", "abc") < 1
    assert slip_cost("dpg", "dog") < slip_cost("dxg", "dog") == 1


def test_rare_words_give_way_to_much_more_frequent_ones_alone() -> None:
    words = Vocabulary({"bicycl": 1, "bicycle": 120, "bicycles": 30})
    assert words.nearest("bicycl", frequency=1) == "bicycle"
    assert words.nearest("bicycels", frequency=1) is None
    assert words.nearest("bicycels") == "bicycles"


def test_taught_words_are_meant_but_not_completed() -> None:
    words = Vocabulary({"dog": 3}, taught=frozenset({"giraffe", "dog", "the"}))
    assert words.nearest("girafe") == "giraffe"
    assert words.completions("g", limit=3) == []
    assert len(words) == 1


@given(st.dictionaries(WORDS.filter(bool), st.integers(1, 5)), WORDS.filter(bool))
def test_completions_agree_with_a_scan(frequencies: dict[str, int], prefix: str) -> None:
    known = [word for word in frequencies if word.startswith(prefix) and word not in STOP_WORDS]
    expected = sorted(known, key=lambda word: (-frequencies[word], word))[:3]
    assert Vocabulary(frequencies).completions(prefix, limit=3) == expected
