"""What every filter index promises; a new back end adds one line to `INDEXES`."""

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.adapters.filters_columns import ColumnsFilterIndex
from lookalike.domain.errors import StoreError
from lookalike.domain.filters import (
    ASPECTS,
    SIZES,
    Between,
    Filter,
    HasObject,
    OneOf,
    aspects_of,
    matches,
    sizes_of,
)
from lookalike.domain.hits import Selection
from lookalike.domain.images import (
    COLOR_NAMES,
    KINDS,
    ImageFacts,
    ImageRecord,
    Row,
    Source,
    image_id,
)
from tests.filter_cases import FILTERS, RECORDS, objects

INDEXES = {
    "columns": lambda folder, *, rows=0, is_writer=True: ColumnsFilterIndex.open(
        folder / "columns", rows=rows, is_writer=is_writer
    ),
}


def record(row, **changes):
    taken_from_facts = {
        name: changes.pop(name) for name in [*changes] if name in ImageFacts.__slots__
    }
    facts = ImageFacts(image_id(str(row).encode()), 640, 480, 1000, "jpeg")
    return ImageRecord(Row(row), replace(facts, **taken_from_facts), **changes)


def numbered(records):
    return [replace(record, row=Row(row)) for row, record in enumerate(records)]


def rows(index, *conditions):
    return np.flatnonzero(index.select(Filter(conditions)).mask).tolist()


@pytest.fixture(params=INDEXES)
def opened(request, tmp_path):
    """Open the same index any number of times; closed at the end."""
    indexes = []

    def open_(*, rows=0, is_writer=True):
        indexes.append(INDEXES[request.param](tmp_path, rows=rows, is_writer=is_writer))
        return indexes[-1]

    yield open_
    for index in indexes:
        index.close()


@pytest.fixture
def index(opened):
    return opened()


def fill(index, records):
    index.append(records)
    index.flush()
    index.refresh(len(records))


# ── It says what the domain says ─────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", INDEXES)
@given(
    records=st.lists(RECORDS, min_size=1, max_size=12).map(numbered),
    later=st.lists(RECORDS, max_size=12),
    removed=st.sets(st.integers(0, 11)),
    filters=st.lists(FILTERS, min_size=1, max_size=6),
)
@settings(max_examples=100)
def test_a_selection_is_what_matches(kind, records, later, removed, filters):
    with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
        writer = INDEXES[kind](Path(folder))
        fill(writer, records)
        reader = INDEXES[kind](Path(folder), rows=len(records), is_writer=False)
        for index in (reader, writer):  # the reader sees the log before the writer has acted on it
            index.update(records)
        # What a later source changes: everything but what the bytes alone say.
        current = [
            replace(old, sources=new.sources, objects=new.objects, first_seen=new.first_seen)
            for old, new in zip(records, later, strict=False)
        ]
        records = [*current, *records[len(current) :]]
        for index in (reader, writer):
            index.update(current)
            index.remove(np.array(sorted(removed), dtype=np.int64))
        writer.save(7)
        again = INDEXES[kind](Path(folder), rows=len(records), is_writer=False)
        for filter_ in filters:
            expected = [
                matches(record, filter_) and record.row not in removed for record in records
            ]
            for index in (writer, reader, again):
                assert index.select(filter_).mask.tolist() == expected
        check_facets(writer, [record for record in records if record.row not in removed])
        for index in (writer, reader, again):
            index.close()


def check_facets(index, alive):
    facets = index.facets(index.select(Filter()))
    words = {
        "type": lambda r: (
            {r.facts.kind} & {*KINDS}
            | ({"animated"} if r.facts.is_animated else set())
            | ({"transparent"} if r.facts.is_transparent else set())
        ),
        "color": lambda r: {*r.facts.color_tags} & {*COLOR_NAMES},
        "licence": lambda r: r.licences,
        "aspect": lambda r: aspects_of(r.facts.width, r.facts.height),
        "size": lambda r: sizes_of(r.facts.width, r.facts.height),
    }
    for field, words_of in words.items():
        counts = {}
        for found in alive:
            for word in words_of(found):
                counts[word] = counts.get(word, 0) + 1
        assert facets[field] == counts, field


def test_every_bound_of_aspects_and_sizes_is_the_domain_s(index):
    sides = [0, 1, 89, 90, 100, 109, 110, 111, 127, 128, 129, 199, 200, 201, 499, 500, 1999, 2000]
    shapes = [(width, height) for width in sides for height in sides]
    records = [record(row, width=w, height=h) for row, (w, h) in enumerate(shapes)]
    fill(index, records)
    conditions = [OneOf("aspect", frozenset({word})) for word in ASPECTS]
    conditions += [OneOf("size", frozenset({word})) for word in SIZES]
    conditions += [Between("pixels", 40_000, 250_000)]
    for condition in conditions:
        expected = [found.row for found in records if matches(found, Filter((condition,)))]
        assert rows(index, condition) == expected


# ── What is shown, and what is not ───────────────────────────────────────────────────────


def test_an_empty_index_selects_nothing(index):
    assert rows(index) == []
    assert rows(index, OneOf("site", frozenset({"org"}))) == []
    assert index.seq == 0
    assert {
        field: dict(words) for field, words in index.facets(index.select(Filter())).items()
    } == {
        "type": {},
        "color": {},
        "licence": {},
        "aspect": {},
        "size": {},
    }


def test_rows_that_are_not_committed_are_not_shown(index):
    index.append([record(0), record(1)])
    assert rows(index) == []
    index.refresh(1)
    assert rows(index) == [0]
    index.refresh(2)
    assert rows(index) == [0, 1]


def test_removed_rows_are_in_no_selection_and_stay_out(index):
    fill(index, [record(0), record(1), record(2)])
    index.remove(np.array([1]))
    index.remove(np.array([1]))
    assert rows(index) == [0, 2]
    assert rows(index, OneOf("color", frozenset({"red"}), is_negated=True)) == [0, 2]
    index.update([record(1)])
    assert rows(index) == [0, 2]


def test_appending_twice_equals_once(index):
    fill(index, [record(0, width=100), record(1)])
    fill(index, [record(0, width=100), record(1)])
    assert rows(index, Between("width", 100, 100)) == [0]


def test_a_commit_that_failed_is_written_over(index):
    wrong = Source("/w", site="wrong.org", licence="cc0")
    fill(index, [record(0)])
    index.append([record(1, width=1, sources=(wrong,)), record(2, width=2, sources=(wrong,))])
    index.append([record(1, width=10)])
    index.refresh(2)
    assert rows(index) == [0, 1]
    assert rows(index, Between("width", 10, 10)) == [1]
    assert rows(index, OneOf("site", frozenset({"org"}))) == []
    assert rows(index, OneOf("licence", frozenset({"unknown"}))) == [0, 1]


def test_rows_may_leave_holes(index):
    index.append([record(4, width=4), record(1, width=1)])
    index.refresh(5)
    index.remove(np.array([0, 2, 3]))
    assert rows(index) == [1, 4]
    assert rows(index, Between("width", 4, 4)) == [4]


def test_an_image_keeps_only_the_words_of_its_last_record(index):
    old = Source("/a", site="www.old.org", licence="cc0")
    fill(index, [record(0, sources=(old,), objects=objects(["cat", "cat"]))])
    index.update([record(0, sources=(replace(old, site="new.org", licence="mit"),))])
    for field, word in (("site", "old.org"), ("licence", "cc0")):
        assert rows(index, OneOf(field, frozenset({word}))) == []
    assert rows(index, OneOf("site", frozenset({"new.org"}))) == [0]
    assert rows(index, HasObject("cat")) == []


def test_a_selection_is_shared_and_cannot_be_changed(index):
    fill(index, [record(0), record(1)])
    for filter_ in (Filter(), Filter((Between("width", 1),))):
        selection = index.select(filter_)
        assert index.select(filter_) is selection
        with pytest.raises(ValueError, match="read-only"):
            selection.mask[0] = False
    assert selection.filter == filter_
    assert selection.count == 2


def test_a_selection_follows_every_change(index):
    narrow = Filter((OneOf("licence", frozenset({"cc0"})),))
    fill(index, [record(0), record(1)])
    assert index.select(narrow).count == 0
    index.update([record(1, sources=(Source("/a", licence="cc0"),))])
    assert index.select(narrow).mask.tolist() == [False, True]
    index.remove(np.array([1]))
    assert index.select(narrow).count == 0


def test_facets_of_an_older_or_open_selection(index):
    fill(index, [record(0), record(1)])
    old = index.select(Filter())
    fill(index, [record(0), record(1), record(2)])
    assert index.facets(old)["type"] == {"photo": 2}
    assert index.facets(Selection(Filter()))["type"] == {"photo": 3}


# ── Across processes and crashes ─────────────────────────────────────────────────────────


def test_what_was_saved_is_there_after_opening_again(opened):
    index = opened()
    fill(index, [record(0, sources=(Source("/a", site="a.org"),), objects=objects(["cat"]))])
    index.save(42)
    index.close()
    for is_writer in (False, True):
        again = opened(rows=1, is_writer=is_writer)
        assert again.seq == 42
        assert rows(again, OneOf("site", frozenset({"org"})), HasObject("cat")) == [0]
        again.close()


def test_a_writer_cuts_away_what_no_commit_stated(opened):
    index = opened()
    fill(index, [record(row, width=row) for row in range(5)])
    index.close()
    again = opened(rows=3)
    again.append([record(4, width=44)])
    again.refresh(5)
    assert rows(again, Between("width", 0, 0)) == [0, 3]
    assert rows(again, Between("width", 44, 44)) == [4]


def test_a_reader_follows_a_writer(opened):
    writer = opened()
    fill(writer, [record(0)])
    reader = opened(rows=1, is_writer=False)
    writer.append([record(1, width=7)])
    assert rows(reader) == [0]
    reader.refresh(2)
    reader.update([record(1, width=7, first_seen=9.0)])
    assert rows(reader, Between("width", 7, 7), Between("seen", 9.0, 9.0)) == [1]


def test_a_reader_cannot_write(opened):
    opened().close()
    reader = opened(is_writer=False)
    with pytest.raises(StoreError):
        reader.append([record(0)])
    with pytest.raises(StoreError):
        reader.save(1)
