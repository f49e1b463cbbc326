"""domain.source_rows: what a row says, whatever its types."""

from contextlib import contextmanager
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import ImageError
from lookalike.domain.source_rows import (
    clean_text,
    fold_row,
    join_captions,
    parse_taken,
    row_of_json,
    source_of_row,
    target_of_row,
)

NAMES = st.sampled_from(
    ["path", "url", "image", "jpg", "caption", "captions", "licence_id", "taken", "page", "tags"]
) | st.text(max_size=5)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=8)
    | st.datetimes()
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@contextmanager
def refused_as_bad_record():
    """Let what is inside pass, or refuse its row under the one right reason."""
    reason = "bad-record"
    try:
        yield
    except ImageError as error:
        reason = error.reason
    assert reason == "bad-record"


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_a_row_of_any_types_is_described_or_refused(row):
    folded = fold_row(row)
    source = source_of_row(folded, "/a.jpg", fingerprint="1-2")
    for text in (source.caption, source.title, source.alt_text, source.page_text):
        text.encode("utf-8")
    with refused_as_bad_record():
        target = target_of_row(folded)
        assert sum(map(bool, (target.path, target.url, target.data))) == 1


@given(st.binary(max_size=60))
def test_any_bytes_are_json_rows_or_refused(raw):
    with refused_as_bad_record():
        row_of_json(raw)


def test_deep_json_is_refused():
    with pytest.raises(ImageError):
        row_of_json("[" * 200_000)


def test_a_row_of_the_labels_kind():
    row = fold_row(
        {
            "file": "images/a.jpg",
            "captions": ["A dog.", "A brown dog .", "A dog."],
            "licence_id": "CC-BY-2.0",
            "flickr_url": "http://farm9.staticflickr.com/1/2_z.jpg",
            "label": "dog",
            "title": "Rex",
            "author": "Ann Example",
            "page": None,
        }
    )
    assert target_of_row(row).path == "images/a.jpg"
    source = source_of_row(row, "/x/images/a.jpg")
    assert source.caption == "A dog.\nA brown dog ."
    assert source.licence == "cc-by-2.0"
    assert source.title == "Rex"
    assert source.site == "farm9.staticflickr.com"
    assert source.page_text == "Ann Example"


def test_names_in_any_case_and_aliases():
    row = fold_row({" URL ": "https://x.org/a.jpg", "ALT": "a cat", "License": "CC0 1.0"})
    assert target_of_row(row).url == "https://x.org/a.jpg"
    source = source_of_row(row, "https://x.org/a.jpg")
    assert (source.alt_text, source.site, source.page_url) == ("a cat", "x.org", "")


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"path": 3},
        {"path": "   "},
        {"path": "a\0b"},
        {"path": "a\nb"},
        {"url": "ftp://x.org/a.jpg"},
        {"url": "a.jpg"},
        {"path": "s3://bucket/a.jpg"},
        {"path": ["a"]},
        {"path": "file:///a%00b"},
    ],
)
def test_rows_without_a_usable_picture(row):
    with pytest.raises(ImageError) as caught:
        target_of_row(fold_row(row))
    assert caught.value.reason == "bad-record"


def test_other_places():
    assert target_of_row(fold_row({"path": "file:///a%20b.jpg"})).path == "/a b.jpg"
    assert target_of_row(fold_row({"path": "https://x.org/a"})).url == "https://x.org/a"
    assert target_of_row(fold_row({"image": {"bytes": b"x", "path": "a"}})).data == b"x"
    assert target_of_row(fold_row({"image": {"bytes": None, "path": "a"}})).path == "a"
    assert target_of_row(fold_row({"url": "https://x.org", "path": "a"})).path == "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2007:12:06 14:33:18\0", 1196951598.0),
        ("2007-12-06T14:33:18Z", 1196951598.0),
        ("2007-12-06", 1196899200.0),
        (date(2007, 12, 6), 1196899200.0),
        (datetime(2007, 12, 6, 14, 33, 18, tzinfo=UTC), 1196951598.0),
        (1196951598, 1196951598.0),
        (1196951598000, 1196951598.0),
        ("1196951598", 1196951598.0),
        ("yesterday", None),
        (True, None),
        (float("inf"), None),
        (10**400, None),
        ([2007], None),
        (None, None),
    ],
)
def test_dates(value, expected):
    assert parse_taken(value) == expected


def test_texts():
    assert clean_text(" a\t  b\0c ") == "a b c"
    assert clean_text({"a": 1}) == ""
    assert clean_text(["a", None, "b", "a"]) == "a\nb"
    assert clean_text("caf\udce9") == "caf?"
    assert join_captions("a\nb", "b\nc") == "a\nb\nc"
