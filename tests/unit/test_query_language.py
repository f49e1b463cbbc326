"""The query language: what each form means, its errors, and the way back to text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lookalike.domain.errors import FilterError, QueryError, UsageError
from lookalike.domain.filters import Between, HasObject, OneOf, parse_date
from lookalike.domain.objects import coco_labels, plural_of
from lookalike.domain.queries import ImagePart, Query, TextMatch, TextPart
from lookalike.domain.query_filters import filters_from_options
from lookalike.domain.query_format import format_query, replace_words, words_instead
from lookalike.domain.query_language import MOST_CHARACTERS, PUSH_AWAY, parse_query

ID = "0123456789abcdef0123456789abcdef"


def same(left: Query, right: Query) -> bool:
    return replace(left, source="") == replace(right, source="")


def test_the_design_example_means_all_of_its_parts() -> None:
    query = parse_query(
        'sunset over mountains -people "golden gate" color:orange type:photo licence:cc '
        "size:large width:>1600 aspect:wide has:cat has:dog>=2 -has:person site:example.org "
        'since:2024 text:"no parking" 0.5:"at night"',
        k=7,
    )
    assert query.k == 7
    assert query.texts == (
        TextPart("sunset over mountains golden gate"),
        TextPart("at night", 0.5),
        TextPart("people", PUSH_AWAY),
    )
    assert query.match == TextMatch(
        words="sunset over mountains at night",
        phrases=("golden gate",),
        ocr_phrases=("no parking",),
        excluded=("people",),
    )
    assert query.filter.conditions == (
        OneOf("color", frozenset({"orange"})),
        OneOf("type", frozenset({"photo"})),
        OneOf("licence", frozenset({"cc"})),
        OneOf("size", frozenset({"large"})),
        Between("width", low=1601),
        OneOf("aspect", frozenset({"wide"})),
        HasObject("cat"),
        HasObject("dog", 2),
        HasObject("person", is_negated=True),
        OneOf("site", frozenset({"example.org"})),
        Between("taken", low=parse_date("2024")),
    )


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("2:dog", (TextPart("dog", 2.0),)),
        ("-0.3:people", (TextPart("people", -0.3),)),
        (".5:dog cat", (TextPart("cat"), TextPart("dog", 0.5))),
        ('-"red car"', (TextPart("red car", PUSH_AWAY),)),
        ("“golden gate”", (TextPart("golden gate"),)),
        ("t-shirt", (TextPart("t-shirt"),)),
        ("12:30", (TextPart("12:30"),)),
        ("16:9 video", (TextPart("16:9 video"),)),
        ("1984:orwell", (TextPart("1984:orwell"),)),
        ("note: see this", (TextPart("note: see this"),)),
        ("http://example.org/a.jpg", (TextPart("http://example.org/a.jpg"),)),
        ("std::vector", (TextPart("std::vector"),)),
        ("C:\\photos", (TextPart("C:\\photos"),)),
        ('"foo:bar"', (TextPart("foo:bar"),)),
        ('"never closed', (TextPart("never closed"),)),
        ('dog "', (TextPart("dog"),)),
        ('""', ()),
        ("größe:klein", (TextPart("größe:klein"),)),
        ("東京 タワー", (TextPart("東京 タワー"),)),
        ('"a ""b"" c"', (TextPart('a "b" c'),)),
        ("dog - cat", (TextPart("dog - cat"),)),
    ],
)
def test_texts(text: str, texts: tuple[TextPart, ...]) -> None:
    assert parse_query(text).texts == texts


@pytest.mark.parametrize("text", ["", "  ", '""', "\x00"])
def test_nothing_asked_is_empty(text: str) -> None:
    assert parse_query(text).is_empty


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("colour:gray,red", OneOf("color", frozenset({"grey", "red"}))),
        ("-color:red", OneOf("color", frozenset({"red"}), is_negated=True)),
        ("licence:modify,cc", OneOf("licence", frozenset({"modification", "cc"}))),
        ("color:#F80,red", OneOf("color", frozenset({"#ff8800~15", "red"}))),
        ("license:cc-by", OneOf("licence", frozenset({"cc-by"}))),
        ("Type:PHOTO", OneOf("type", frozenset({"photo"}))),
        ("site:https://www.example.org/x/y", OneOf("site", frozenset({"example.org"}))),
        ("height:<=800", Between("height", high=800)),
        ("height:<800", Between("height", high=799)),
        ("width:≥800", Between("width", low=800)),
        ("width:800..1600", Between("width", 800, 1600)),
        ("width:800..", Between("width", low=800)),
        ("width:..1600px", Between("width", high=1600)),
        ("-width:640", Between("width", 640, 640, is_negated=True)),
        ("pixels:>=2mp", Between("pixels", low=2e6)),
        ("bytes:>1mb", Between("bytes", low=1_000_001)),
        ("bytes:<=1.5KiB", Between("bytes", high=1536)),
        ("date:2024-05", Between("taken", parse_date("2024-05"), parse_date("2024-06") - 1)),
        ("date:>2023", Between("taken", low=parse_date("2024"))),
        ("date:2023..2024", Between("taken", parse_date("2023"), parse_date("2025") - 1)),
        ("until:2024", Between("taken", high=parse_date("2025") - 1)),
        ("before:2024-05-31", Between("taken", high=parse_date("2024-06-01") - 1)),
        ("seen:>=2024", Between("seen", low=parse_date("2024"))),
        ("has:dog>=2", HasObject("dog", 2)),
        ("has:dog>2", HasObject("dog", 3)),
        ("has:dog=2", HasObject("dog", 2, 2)),
        ("has:dog<3", HasObject("dog", 0, 2)),
        ('has:"Traffic  Light">=2', HasObject("traffic light", 2)),
        ("has:traffic_light", HasObject("traffic light")),
        ('has:"traffic light', HasObject("traffic light")),
        ("has:cats", HasObject("cat")),
        ("-has:people", HasObject("person", is_negated=True)),
        ("has:sofa>=2", HasObject("couch", 2)),
        ("has:animal>=3", HasObject("animal", 3)),
        ('has:"mobile phones"', HasObject("cell phone")),
        ('has:"penguin">=2', HasObject("penguin", 2)),
    ],
)
def test_filters(text: str, condition: object) -> None:
    query = parse_query(text)
    assert query.filter.conditions == (condition,)
    assert not query.texts


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (f"img:{ID}", ImagePart("id", ID)),
        ("img:photo.jpg", ImagePart("path", "photo.jpg")),
        ("img:https://e.org/a.jpg", ImagePart("url", "https://e.org/a.jpg")),
        ('img:"my photo.jpg"', ImagePart("path", "my photo.jpg")),
        (
            "img:photo.jpg@0.1,0.2,.5,0.5",
            ImagePart("path", "photo.jpg", region=(0.1, 0.2, 0.5, 0.5)),
        ),
        ('img:"a b@c.jpg"@0,0,1,1', ImagePart("path", "a b@c.jpg", region=(0, 0, 1, 1))),
        ("0.5:img:a.jpg", ImagePart("path", "a.jpg", weight=0.5)),
        ("-img:a.jpg", ImagePart("path", "a.jpg", weight=PUSH_AWAY)),
    ],
)
def test_images(text: str, image: ImagePart) -> None:
    assert parse_query(text).images == (image,)


def test_words_in_the_picture_can_be_refused() -> None:
    match = parse_query('text:stop -text:"stock photo"').match
    assert (match.ocr_phrases, match.ocr_excluded) == (("stop",), ("stock photo",))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("colr:red", "no filter colr", "did you mean color"),
        ("foo:bar", "no filter foo", "in quotes"),
        ("color:", "needs a value", "color:"),
        ("0:dog", "weight 0", "leave"),
        ("2:color:red", "no weight", "0.5:dog"),
        ("img:a.jpg@0.5,0.5,0.9,0.9", "does not lie", "fractions"),
        ('img:"a b"x', "cannot be read", "img:"),
        ("x" * (MOST_CHARACTERS + 1), "2001 characters", "2000"),
        ("-a " * 40, "too many parts", "32"),
    ],
)
def test_query_errors_say_what_to_do(text: str, message: str, hint: str) -> None:
    with pytest.raises(QueryError) as error:
        parse_query(text)
    assert message in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "color:rde",
        "width:many",
        "width:5kg",
        "width:>",
        "width:9..3",
        "date:soon",
        "since:99999",
        "has:>2",
        "has:cat,dog",
        "has:penguin",
        "has:dgo",
        "size:",
        "type:,",
    ],
)
def test_bad_values_are_usage_errors_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_query(text)
    assert error.value.hint


def test_k_is_at_least_one() -> None:
    with pytest.raises(QueryError):
        parse_query("dog", k=0)


PIECES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(
        [
            'a "a"',
            'a b "a"',
            '"a b" a b',
            "-people",
            '-"red car"',
            "0.5:dog",
            '1:"x:y"',
            "-0.25:cat",
            "color:red,blue",
            "-colour:grey",
            "color:#ff8800",
            "-color:#f80~7.5,blue",
            "color:#ff88zz",
            "licence:modify",
            "width:>1600",
            "bytes:1kb..2mb",
            "date:2024-05",
            "-seen:<2020",
            "has:dog>=2",
            "-has:cat<3",
            f"img:{ID}@0.1,0.2,0.25,0.5",
            '-img:"a ""b"".jpg"',
            'text:"no parking"',
            "-text:stock",
            "site:example.org",
            "licence:cc-by,open",
            "“q” w",
            '"open',
            "note:",
            "two dogs and a car",
            "images containing cats but no people",
            "no people",
            '1:"two dogs"',
            "has:dog>=2",
            'has:"penguin"',
            "12:30",
            "--x",
        ]
    ),
)


@given(st.lists(PIECES, max_size=8).map(" ".join))
@example('has:dog>=2 has:dog>=2 1:"two dog"')
@example('has:dog>=2 color:red 1:"two dogs"')
def test_any_text_parses_or_is_a_usage_error_and_comes_back_the_same(text: str) -> None:
    try:
        query = parse_query(text)
    except UsageError:
        return
    assert same(parse_query(format_query(query)), query)


WORD = st.text("abcdefghij", min_size=1, max_size=6)


@given(
    st.lists(WORD, max_size=5),
    st.lists(st.lists(WORD, min_size=2, max_size=3).map(" ".join), max_size=2),
    st.lists(st.tuples(WORD, st.floats(0.01, 10)), max_size=3),
    st.lists(WORD, max_size=2),
)
def test_a_query_of_parts_comes_back_the_same(
    words: list[str],
    phrases: list[str],
    weighted: list[tuple[str, float]],
    excluded: list[str],
) -> None:
    main = [TextPart(" ".join([*words, *phrases]))] if words or phrases else []
    soft = [TextPart(word, round(weight, 3)) for word, weight in weighted]
    query = Query(
        texts=(*main, *soft, *(TextPart(word, PUSH_AWAY) for word in excluded)),
        match=TextMatch(
            words=" ".join([*words, *(part.text for part in soft)]),
            phrases=tuple(phrases),
            excluded=tuple(excluded),
        ),
    )
    assert same(parse_query(format_query(query)), query)


def test_pictures_given_as_bytes_have_no_written_form() -> None:
    with pytest.raises(QueryError):
        format_query(Query(images=(ImagePart("data", data=b"x"),)))


def test_replaced_words_leave_phrases_alone() -> None:
    query = parse_query('moutain, "moutain dew" 0.5:moutain -moutain')
    better = replace_words(query, {"moutain": "mountain"})
    assert better.texts == (
        TextPart("mountain, moutain dew"),
        TextPart("mountain", 0.5),
        TextPart("moutain", PUSH_AWAY),
    )
    assert better.match.words == "mountain, mountain"
    assert better.match.phrases == ("moutain dew",)


def test_options_mean_what_the_language_means() -> None:
    options = {
        "color": ["red", "blue"],
        "type": "photo",
        "min_width": 800,
        "max_height": "600",
        "license": "cc",
        "object": ["dog>=2", "cat"],
        "since": "2024",
        "until": None,
        "site": "",
        "aspect": [],
    }
    language = parse_query(
        "color:red,blue type:photo width:>=800 height:<=600 licence:cc has:dog>=2 has:cat "
        "since:2024"
    )
    assert filters_from_options(options) == language.filter


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "rde"}, "option color"),
        ({"min_width": "wide"}, "option min_width"),
        ({"object": "<2"}, "option object"),
        ({"object": "dgo"}, "option object"),
        ({"since": ["2023", "2024"]}, "option since"),
        ({"colr": "red"}, "no filter option colr"),
    ],
)
def test_option_errors_name_the_option(options: dict[str, object], message: str) -> None:
    with pytest.raises(FilterError) as error:
        filters_from_options(options)
    assert message in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("text", "reading", "words"),
    [
        ("images containing cats", ("cat",), "cats"),
        ("pictures of two dogs", ("dog ≥ 2",), "two dogs"),
        ("a photo with two dogs", ("dog ≥ 2",), "two dogs"),
        ("Show me photos with a kitten.", ("cat",), "a kitten"),
        ("two dogs and a car", ("dog ≥ 2", "car"), "two dogs and a car"),
        ("2 dogs, a cat & 1 bike", ("dog ≥ 2", "cat", "bicycle"), "2 dogs and a cat and 1 bike"),
        ("three or more people", ("person ≥ 3",), "people"),
        ("at least 2 cats", ("cat ≥ 2",), "cats"),
        ("more than two cats", ("cat ≥ 3",), "cats"),
        ("3+ cats", ("cat ≥ 3",), "cats"),
        ("exactly two dogs", ("dog = 2",), "dogs"),
        ("two to four dogs", ("dog 2–4",), "dogs"),
        ("between two and four dogs", ("dog 2–4",), "dogs"),
        ("no more than two dogs", ("dog ≤ 2",), "dogs"),
        ("several animals", ("animal ≥ 2",), "animals"),
        ("images with a pair of scissors", ("scissors",), "a pair of scissors"),
        ("a cat but no dog", ("cat", "no dog"), "a cat"),
        ("dogs without people or cars", ("dog", "no person", "no car"), "dogs"),
        ("photos of cats and no dogs", ("cat", "no dog"), "cats"),
        ("no people", ("no person",), ""),
        ("no people in the picture", ("no person",), ""),
        ("images that do not contain any cars", ("no car",), ""),
        ("a traffic light and two stop signs", ("traffic light", "stop sign ≥ 2"), None),
        ("images with an orange", ("orange",), "an orange"),
    ],
)
def test_plain_language_is_read_as_conditions(
    text: str, reading: tuple[str, ...], words: str | None
) -> None:
    query = parse_query(text)
    assert query.reading == reading
    assert len(query.filter.conditions) == len(reading)
    shown = text if words is None else words
    assert query.match.words == " ".join(part.text for part in query.texts) == shown


@pytest.mark.parametrize(
    "text",
    [
        "dog",
        "dogs",
        "a dog",
        "pictures of dogs",
        "a cat and a dog",
        "dog on a beach",
        "two dogs on a beach",
        "two big dogs",
        "no parking",
        "a man with a dog",
        "images with orange",
        "images containing",
        "two mice",
        "2024 cars",
        "0 dogs or cats and",
        "no puppies",
        "cats or two dogs",
        "a photo with two dogs at night",
        '"two dogs"',
        '1:"two dogs"',
        'two dogs "golden gate"',
        "fewer than zero cats",
    ],
)
def test_other_words_stay_words(text: str) -> None:
    query = parse_query(text)
    assert not query.reading
    assert not query.filter


def test_what_is_read_stands_beside_other_filters_and_nothing_stands_twice() -> None:
    query = parse_query("color:red two dogs has:dog>=2 -blurred")
    assert query.filter.conditions == (HasObject("dog", 2), OneOf("color", frozenset({"red"})))
    assert query.match.excluded == ("blurred",)


def test_labels_of_another_detector_are_read_where_they_are_known() -> None:
    labels = ("penguin", "ice_cream")
    assert parse_query("two penguins", labels=labels).reading == ("penguin ≥ 2",)
    assert parse_query("images with ice cream", labels=labels).reading == ("ice cream",)
    assert parse_query("has:penguins", labels=labels).filter.conditions == (HasObject("penguin"),)
    assert not parse_query("two penguins").reading
    assert filters_from_options({"object": ['"penguin">=2', "cats"]}).conditions == (
        HasObject("penguin", 2),
        HasObject("cat"),
    )
    assert filters_from_options({"object": "penguin"}, labels=labels).conditions == (
        HasObject("penguin"),
    )


NAMES = st.sampled_from([label for label in coco_labels() if label not in {"mouse", "orange"}])
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven"]


@given(st.lists(st.tuples(st.integers(1, 7), NAMES), min_size=1, max_size=4))
def test_counted_labels_are_read_whatever_they_are(counted: list[tuple[int, str]]) -> None:
    spoken = [
        f"{NUMBERS[count]} {label if count == 1 else plural_of(label)}" for count, label in counted
    ]
    before = ", ".join(spoken[:-1])
    query = parse_query(f"a picture of {before} {'and' if before else ''} {spoken[-1]}")
    wanted = dict.fromkeys(HasObject(label, count) for count, label in counted)
    assert query.filter.conditions == tuple(wanted)
    assert parse_query(format_query(query)).filter == query.filter


WORDS = """
a an two 3 no without with and but , or more at least images photo of containing dogs
cat people beach traffic light lights exactly only in the picture between
"""
SPOKEN = st.lists(st.sampled_from(WORDS.split()), max_size=9).map(" ".join)


@given(SPOKEN)
def test_any_words_parse_and_come_back_the_same(text: str) -> None:
    query = parse_query(text)
    assert same(parse_query(format_query(query)), query)
    assert not parse_query(words_instead(text)).filter
    assert len(query.reading) == len(query.filter.conditions)


def test_the_words_can_be_searched_instead() -> None:
    line = words_instead('two dogs color:red -people 0.5:"at night"')
    assert line == '1:"two dogs" color:red -people 0.5:"at night"'
    assert parse_query(line).filter.conditions == (OneOf("color", frozenset({"red"})),)
    assert words_instead("color:red") == "color:red"


def test_a_corrected_text_is_read_again() -> None:
    query = parse_query("two dgos 0.5:snow color:red")
    better = replace_words(query, {"dgos": "dogs"})
    assert better.reading == ("dog ≥ 2",)
    assert better.filter.conditions[0] == HasObject("dog", 2)
    assert better.match.words == "two dogs snow"
    assert better.texts == (TextPart("two dogs"), TextPart("snow", 0.5))


WRONG = st.sampled_from(
    ["colr:red", "color:rad", "size:>", "2:type:photo", "img:a@0.9,0,0.9,1", "has:"]
)
RIGHT = st.sampled_from(["sunset", '"golden gate"', "-people", "0.5:night", "color:red", "\u732b"])


@given(
    st.lists(RIGHT, max_size=4), WRONG, st.lists(RIGHT, max_size=4), st.sampled_from(" \t\n\u3000")
)
def test_an_error_points_at_the_piece_that_is_wrong(before, wrong, after, space):
    text = space.join([*before, wrong, *after])
    with pytest.raises(UsageError) as error:
        parse_query(text)
    begin, end = error.value.place
    assert error.value.text == text
    assert text[begin:end] == wrong
    assert begin == len(space.join([*before, ""]))
    assert error.value.to_json()["place"] == [begin, end]


def test_an_error_of_the_whole_has_no_place():
    with pytest.raises(QueryError) as error:
        parse_query("a" * 3000)
    assert error.value.place is None
    assert "place" not in error.value.to_json()
