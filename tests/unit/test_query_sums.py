"""Sums of words and pictures, and what is none."""

from __future__ import annotations

import pytest

from lookalike.domain.queries import ImagePart, TextPart
from lookalike.domain.query_format import format_query
from lookalike.domain.query_language import PUSH_AWAY, parse_query


def texts_of(line: str) -> list[tuple[str, float]]:
    return [(part.text, part.weight) for part in parse_query(line).texts]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("horse + stripes - fruit", [("horse", 1), ("stripes", 1), ("fruit", PUSH_AWAY)]),
        ("a red car + snow", [("a red car", 1), ("snow", 1)]),
        ('salt + "red pepper" size:large', [("salt", 1), ("red pepper", 1)]),
        ("dog + cat - at night 2:moon", [("dog", 1), ("cat", 1), ("moon", 2), ("at night", -0.25)]),
        ("two dogs + a car", [("two dogs", 1), ("a car", 1)]),
    ],
)
def test_terms_are_parts(line: str, parts: list[tuple[str, float]]) -> None:
    assert sorted(texts_of(line)) == sorted(parts)
    query = parse_query(line)
    assert not query.match.phrases, "quotes only group in a sum"
    assert not query.match.excluded, "a sum asks nothing of the texts"
    assert not query.reading
    again = parse_query(format_query(query))
    assert set(again.texts) == set(query.texts)
    assert again.filter == query.filter


def test_pictures_are_terms() -> None:
    query = parse_query("img:a.jpg + night - img:b.jpg")
    assert query.texts == (TextPart("night"),)
    assert query.images == (
        ImagePart("path", "a.jpg"), ImagePart("path", "b.jpg", weight=PUSH_AWAY),
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["Beatles - Abbey Road", "C++ code", "a+b", "+ dog", "dog +", "+", "- + -", "dog color:red +"],
)
def test_what_is_no_sum_stays_text(line: str) -> None:
    words = " ".join(word for word in line.split() if ":" not in word)
    assert texts_of(line) == [(words, 1)]


def test_excluded_words_stay_excluded_in_a_sum() -> None:
    assert parse_query("dog + cat -people").match.excluded == ("people",)
