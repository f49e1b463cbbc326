"""Colours by value: differences, cells, and what a query says of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import FilterError
from lookalike.domain.filter_terms import clauses_of, meets, terms_of
from lookalike.domain.filters import Filter, OneOf, matches
from lookalike.domain.images import ImageFacts, ImageRecord, PaletteColour, Row, image_id
from lookalike.domain.query_format import format_query
from lookalike.domain.query_language import parse_query
from lookalike.domain.shades import (
    MOST_TOLERANCE,
    difference,
    lab_of,
    parse_shade,
    shades_borne,
    shades_near,
)
from lookalike.imaging.colour import read_colours, srgb_to_lab

RGB = st.tuples(*[st.integers(0, 255)] * 3)


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_differences_are_those_that_sharma_published(left, right, wanted):
    found = difference(np.array([left], float), np.array([right], float))
    assert found[0] == pytest.approx(wanted, abs=1e-4)
    assert difference(np.array([right], float), np.array([left], float))[0] == pytest.approx(
        found[0]
    )


@given(RGB)
def test_a_colour_is_converted_as_pictures_are(rgb):
    ours = lab_of(np.array([rgb], float))[0]
    assert ours == pytest.approx(srgb_to_lab(np.array(rgb)), abs=1e-3)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("#ff8800", "#ff8800~15"),
        ("#F80", "#ff8800~15"),
        ("#abc~7.50", "#aabbcc~7.5"),
        (" #000~50 ", "#000000~50"),
    ],
)
def test_a_value_has_one_form(text, wanted):
    assert str(parse_shade(text)) == wanted
    assert str(parse_shade(wanted)) == wanted


@pytest.mark.parametrize(
    ("query", "pointed_at"),
    [
        ("dog color:red,#ff88zz", "#ff88zz"),
        ("color:#ff88", "#ff88"),
        ("color:#", "#"),
        ("-colour:#fff~0 x", "~0"),
        ("color:#fff~51", "~51"),
        ("color:#fff~a,blue", "~a"),
        ("color:#fff~", "~"),
    ],
)
def test_an_error_points_at_the_place(query, pointed_at):
    with pytest.raises(FilterError) as caught:
        parse_query(query)
    begin, end = caught.value.place
    assert query[begin:end] == pointed_at
    assert caught.value.hint


@given(RGB, st.integers(1, int(MOST_TOLERANCE)), st.booleans())
def test_a_query_of_values_comes_back_the_same(rgb, tolerance, is_negated):
    value = "#{:02x}{:02x}{:02x}~{}".format(*rgb, tolerance)
    query = parse_query(f"{'-' * is_negated}color:red,{value}")
    assert query.filter.conditions == (OneOf("color", frozenset({"red", value}), is_negated),)
    assert parse_query(format_query(query)).filter == query.filter


def record(*colours):
    palette = tuple(
        PaletteColour(tuple(lab_of(np.array([rgb], float))[0].tolist()), weight)
        for rgb, weight in colours
    )
    facts = ImageFacts(image_id(b""), 10, 10, 1, "png", palette=palette, color_tags=("red",))
    return ImageRecord(Row(0), facts)


@given(RGB, st.floats(0.05, 1), st.integers(1, 50))
def test_a_picture_is_found_by_its_own_colour(rgb, share, tolerance):
    value = "#{:02x}{:02x}{:02x}~{}".format(*rgb, tolerance)
    one = record((rgb, share))
    asked = Filter((OneOf("color", frozenset({value})),))
    refused = Filter((OneOf("color", frozenset({value}), is_negated=True),))
    assert matches(one, asked)
    assert not matches(one, refused)
    for filter_ in (asked, refused):
        assert meets(terms_of(one), clauses_of(filter_)) == matches(one, filter_)


def test_what_fills_little_does_not_count_and_like_colours_count_together():
    assert not shades_borne(record(((255, 0, 0), 0.02)).facts.palette)
    both = record(((255, 0, 0), 0.02), ((255, 1, 0), 0.02))
    assert shades_borne(both.facts.palette) <= shades_near("#ff0000~5")


def test_names_and_values_mix():
    one = record(((0, 0, 255), 0.9))
    for values, is_found in (
        ({"red", "#00ff00~10"}, True),  # by its name
        ({"green", "#0000f0~10"}, True),  # by its value
        ({"green", "#00ff00~10"}, False),
    ):
        assert matches(one, Filter((OneOf("color", frozenset(values)),))) == is_found


def test_a_wider_tolerance_finds_no_less():
    narrow, wide = shades_near("#336699~8"), shades_near("#336699~20")
    assert narrow < wide
    assert len(shades_near("#336699~1")) == 1


def test_a_patch_on_a_ground_is_found_by_its_colour():
    pixels = np.full((48, 48, 3), 240, np.uint8)
    pixels[10:24, 10:24] = (255, 136, 0)
    borne = shades_borne(read_colours(pixels).palette)
    assert borne & shades_near("#ff8800~5")
    assert borne & shades_near("#f0f0f0~5")
    assert not borne & shades_near("#0000ff~15")
