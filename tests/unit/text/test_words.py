"""Words and vocabularies, without an index."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lookalike.adapters.text_vocabulary import Vocabulary, slip_cost
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


def edit_distance(left: str, right: str) -> int:
    """Return the optimal string alignment distance, by its definition."""
    if not left or not right:
        return len(left) + len(right)
    found = min(
        edit_distance(left[1:], right) + 1,
        edit_distance(left, right[1:]) + 1,
        edit_distance(left[1:], right[1:]) + (left[0] != right[0]),
    )
    if left[:2] == right[1::-1] and len(left) > 1 < len(right):
        found = min(found, edit_distance(left[2:], right[2:]) + 1)
    return found


TYPED = st.text("abc", min_size=4, max_size=7)


@settings(max_examples=300)
@given(st.sets(TYPED, max_size=12), TYPED)
@example({"abcabc"}, "bacabb")
@example({"abca"}, "baca")
def test_what_is_near_by_definition_is_found(known: set[str], typed: str) -> None:
    found = Vocabulary(dict.fromkeys(known, 5)).nearest(typed)
    near = {
        word
        for word in known - {typed}
        for distance in [edit_distance(typed, word)]
        if distance == 1
        or (distance == 2 and len(typed) >= 6 and (word[0] == typed[0] or word[:2] == typed[1::-1]))
    }
    assert (found is None) == (not near)
    assert found is None or found in near


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
