"""Packed objects, words and metadata: they come back, and damaged ones are told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.catalog_values import (
    LEAST_DEFLATED,
    pack_embedded,
    pack_objects,
    pack_words,
    unpack_embedded,
    unpack_objects,
    unpack_words,
)
from lookalike.domain.errors import LookalikeError
from lookalike.domain.images import DetectedObject, ImageFacts, OcrWord, image_id

texts = st.text(st.characters(), max_size=9)
shares = st.integers(0, 10_000).map(lambda number: number / 10_000)
boxes = st.tuples(shares, shares, shares, shares)
objects = st.lists(st.builds(DetectedObject, texts, shares, boxes), max_size=9).map(tuple)
words = st.lists(st.builds(OcrWord, texts, shares, boxes, st.integers(0, 65_535)), max_size=30)
places = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))


@given(objects, words.map(tuple))
def test_objects_and_words_come_back(given_objects, given_words):
    assert unpack_objects(pack_objects(given_objects)) == given_objects
    assert unpack_words(pack_words(given_words)) == given_words
    assert bool(pack_words(given_words)) == bool(given_words)


@given(texts, st.lists(texts, max_size=5).map(tuple), texts, texts, places)
def test_what_a_file_carries_comes_back(title, keywords, creator, rights, place):
    plain = ImageFacts(image_id(b"a"), 1, 1, 1, "png")
    whole = ImageFacts(
        plain.id, 1, 1, 1, "png", embedded_title=title, keywords=keywords, creator=creator,
        rights=rights, place=place,
    )  # fmt: skip
    assert replace(plain, **unpack_embedded(pack_embedded(whole))) == whole
    assert pack_embedded(plain) == b""


@given(st.floats(), st.floats(), st.floats())
def test_any_box_is_brought_in_or_refused(score, left, width):
    try:
        data = pack_objects([DetectedObject("cat", score, (left, 0.0, width, 1.0))])
    except LookalikeError as error:
        assert error.hint
        return
    (found,) = unpack_objects(data)
    assert all(0 <= value <= 1 for value in (found.score, *found.box))
    assert pack_objects([found]) == data


def long_words(count):
    return tuple(OcrWord(f"word{n}", 0.5, (0.1, 0.2, 0.3, n / 10_000), n) for n in range(count))


def test_long_lists_take_less_than_their_numbers():
    data = pack_words(long_words(1000))
    assert LEAST_DEFLATED < len(data) < 1000 * 12
    assert unpack_words(data) == long_words(1000)


@given(st.binary(max_size=60))
def test_any_bytes_are_unpacked_or_refused(data):
    for unpack in (unpack_objects, unpack_words, unpack_embedded):
        try:
            unpack(data)
        except ValueError:
            continue


def test_damage_is_told():
    for data in (pack_words(long_words(3)), pack_words(long_words(300))):
        for wrong in (data[:-1], data[:2], b"\7" + data[1:], data[:1] + b"\xff\xff" + data[3:]):
            with pytest.raises(ValueError, match="packed words"):
                unpack_words(wrong)
