"""Completing a line: words, filters, values, objects, past queries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.completing import Completion, complete_line
from lookalike.domain.query_language import parse_query
from lookalike.engine.past_queries import COUNTED_AGAIN_S, PastQueries

WORDS = ["beach", "beaches", "bear", "blue", "dog", "dogs", "colorful", "typewriter"]
LABELS = ["bear", "dog", "hot dog", "traffic light", "animal"]


def words(prefix, limit):
    return [word for word in WORDS if word.startswith(prefix.lower())][:limit]


def complete(line, **options):
    return complete_line(line, words=words, labels=LABELS, **options)


def texts(line, **options):
    return [one.text for one in complete(line, **options)]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("be", ["beach", "beaches", "bear"]),
        ("bea", ["beach", "beaches", "bear", "has:bear"]),
        ("two do", ["two dog", "two dogs"]),
        ("red -be", ["red -beach", "red -beaches", "red -bear"]),
        ("0.5:be", ["0.5:beach", "0.5:beaches", "0.5:bear"]),
        ('"blue be', ['"blue beach', '"blue beaches', '"blue bear']),
        ("col", ["colorful", "color:"]),
        ("colou", ["colour:"]),
        ("dog color:b", ["dog color:black", "dog color:blue", "dog color:brown"]),
        ("colour:red,gr", ["colour:red,grey", "colour:red,green"]),
        ("-color:black,b", ["-color:black,blue", "-color:black,brown"]),
        ("licence:mod", ["licence:modification", "licence:modify"]),
        ("aspect:", ["aspect:square", "aspect:wide", "aspect:tall", "aspect:panorama"]),
        ("has:tr", ["has:traffic_light"]),
        ("-has:d", ["-has:dog"]),
        ("text:be", ["text:beach", "text:beaches", "text:bear"]),
        ("site:exa", []),
        ("", []),
        ("dog ", []),
        ("dog", ["dogs", "has:dog"]),
        ("x" * 201, []),
    ],
)
def test_a_line_goes_on(line, wanted):
    assert texts(line) == wanted


def test_past_queries_come_first_and_tell_how_often():
    past = [("bear cubs", 7), ("beach", 4), ("be", 3)]
    found = complete("be", past=past, limit=4)
    assert found == [
        Completion("bear cubs", "past", 7),
        Completion("beach", "past", 4),
        Completion("beaches", "word"),
        Completion("bear", "word"),
    ]
    assert found[0].to_json() == {"text": "bear cubs", "kind": "past", "count": 7}
    assert found[2].to_json() == {"text": "beaches", "kind": "word"}


@given(st.text(max_size=30), st.integers(1, 20))
def test_any_line_is_completed_within_bounds(line, limit):
    found = complete(line, limit=limit)
    assert len(found) <= limit
    assert len({one.text for one in found}) == len(found)


@given(st.sampled_from(["be", "dog color:b", "has:tr", "-be", "type:ph", "0.5:do", "size:l"]))
def test_what_is_offered_can_be_asked(line):
    for one in complete(line):
        if not one.text.endswith(":"):
            parse_query(one.text)


def test_past_queries_are_counted_again_after_a_while():
    now, counts = [0.0], [{"beach": 3}]
    past = PastQueries(lambda: counts[0], clock=lambda: now[0], is_waiting=True)
    assert past.beginning("BEA") == [("beach", 3)]
    counts[0] = {"beach": 5, "Bears": 9, "dog": 4}
    assert past.beginning("bea") == [("beach", 3)]
    now[0] += COUNTED_AGAIN_S
    assert past.beginning("bea") == [("Bears", 9), ("beach", 5)]
    assert past.beginning("bea", limit=1) == [("Bears", 9)]
    assert past.beginning("x") == []
