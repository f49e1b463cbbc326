"""Words and vocabularies, without an index."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lookalike.adapters.text_vocabulary import Vocabulary, edit_distance
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
    assert words.nearest("xountain") is None
    assert words.nearest("car") is None
    assert len(words) == 5


@given(st.dictionaries(WORDS.filter(bool), st.integers(1, 5)), WORDS.filter(bool))
def test_completions_agree_with_a_scan(frequencies: dict[str, int], prefix: str) -> None:
    known = [word for word in frequencies if word.startswith(prefix) and word not in STOP_WORDS]
    expected = sorted(known, key=lambda word: (-frequencies[word], word))[:3]
    assert Vocabulary(frequencies).completions(prefix, limit=3) == expected
