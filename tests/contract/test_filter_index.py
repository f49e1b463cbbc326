"""What every filter index promises; a new back end adds one line to `INDEXES`.

Rows that count up are shown by commits and selected as masks; hashed ones (a cluster's) are shown
when they are flushed, and a selection is the filter alone.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.adapters.filters_columns import ColumnsFilterIndex
from lookalike.adapters.text_elasticsearch_filters import ElasticsearchFilterIndex
from lookalike.adapters.text_elasticsearch_server import SearchServer
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
from tests.search_clusters import CLUSTER_PARAMS, CLUSTERS, SearchClusters

INDEXES = ["columns", *CLUSTER_PARAMS]

dense_only = pytest.mark.parametrize("opened", ["columns"], indirect=True)
clusters_only = pytest.mark.parametrize("opened", CLUSTER_PARAMS, indirect=True)


def open_columns(folder, *, rows=0, is_writer=True):
    return ColumnsFilterIndex.open(folder / "columns", rows=rows, is_writer=is_writer)


def open_cluster(options, *, rows=0, is_writer=True):
    return ElasticsearchFilterIndex.open(SearchServer(options), is_writer=is_writer)


def record(row, **changes):
    taken_from_facts = {
        name: changes.pop(name) for name in [*changes] if name in ImageFacts.__slots__
    }
    facts = ImageFacts(image_id(str(row).encode()), 640, 480, 1000, "jpeg")
    return ImageRecord(Row(row), replace(facts, **taken_from_facts), **changes)


def numbered(records):
    return [replace(record, row=Row(row)) for row, record in enumerate(records)]


def rows(index, *conditions):
    return selected(index, Filter(conditions))


def selected(index, filter_):
    selection = index.select(filter_)
    if selection.mask is not None:
        return np.flatnonzero(selection.mask).tolist()
    return sorted(index.listing(selection, k=1000).rows.tolist())


@pytest.fixture(scope="session")
def clusters():
    with SearchClusters() as clusters:
        yield clusters


@pytest.fixture(params=INDEXES)
def opened(request, tmp_path, clusters):
    """Open the same index any number of times; closed at the end."""
    indexes = []
    is_cluster = request.param in CLUSTERS
    open_it = open_cluster if is_cluster else open_columns
    place = clusters.fresh(request.param) if is_cluster else tmp_path

    def open_(*, rows=0, is_writer=True):
        indexes.append(open_it(place, rows=rows, is_writer=is_writer))
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


CASES = {
    "records": st.lists(RECORDS, min_size=1, max_size=12).map(numbered),
    "later": st.lists(RECORDS, max_size=12),
    "removed": st.sets(st.integers(0, 11)),
    "filters": st.lists(FILTERS, min_size=1, max_size=6),
}


@given(**CASES)
@settings(max_examples=100)
def test_a_selection_is_what_matches(records, later, removed, filters):
    with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):
        place = Path(folder)
        writer = open_columns(place)
        fill(writer, records)
        reader = open_columns(place, rows=len(records), is_writer=False)
        # The reader sees the log before the writer has acted on it.
        check_selections((reader, writer), (records, later, removed, filters), place, open_columns)


@pytest.fixture(scope="module", params=CLUSTER_PARAMS)
def lasting(request, clusters):
    """Options of one index for many examples."""
    return clusters.fresh(request.param)


@given(**CASES | {"filters": st.lists(FILTERS, min_size=6, max_size=12)})
@settings(max_examples=12)
def test_a_cluster_s_selection_is_what_matches(lasting, records, later, removed, filters):
    writer = open_cluster(lasting)
    writer.remove(np.arange(12))
    fill(writer, records)
    check_selections((writer,), (records, later, removed, filters), lasting, open_cluster)


def check_selections(told, cases, place, open_it):
    """Tell the indexes what changes, and compare them and a new one with the domain."""
    records, later, removed, filters = cases
    for index in told:
        index.update(records)
    # What a later source changes: everything but what the bytes alone say.
    current = [
        replace(old, sources=new.sources, objects=new.objects, first_seen=new.first_seen)
        for old, new in zip(records, later, strict=False)
    ]
    records = [*current, *records[len(current) :]]
    for index in told:
        index.update(current)
        index.remove(np.array(sorted(removed), dtype=np.int64))
    told[-1].save(7)
    again = open_it(place, rows=len(records), is_writer=False)
    alive = [record for record in records if record.row not in removed]
    for filter_ in filters:
        expected = [record.row for record in alive if matches(record, filter_)]
        for index in (*told, again):
            assert selected(index, filter_) == expected
    check_facets(told[-1], alive)
    for index in (*told, again):
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


@dense_only
def test_rows_that_are_not_committed_are_not_shown(index):
    index.append([record(0), record(1)])
    assert rows(index) == []
    index.refresh(1)
    assert rows(index) == [0]
    index.refresh(2)
    assert rows(index) == [0, 1]


@clusters_only
def test_appended_rows_are_shown_by_a_flush(index):
    index.append([record(0), record(1)])
    assert rows(index) == []
    index.flush()
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


def test_appending_again_replaces(index):
    old = Source("/a", site="old.org", licence="cc0")
    fill(index, [record(0, width=1, sources=(old,), objects=objects(["cat"]))])
    fill(index, [record(0, width=10)])
    assert rows(index, Between("width", 10, 10)) == [0]
    assert rows(index, OneOf("site", frozenset({"org"}))) == []
    assert rows(index, OneOf("licence", frozenset({"unknown"}))) == [0]
    assert rows(index, HasObject("cat")) == []


@clusters_only
def test_an_image_that_was_removed_can_come_back(index):
    fill(index, [record(0)])
    index.remove(np.array([0]))
    fill(index, [record(0, width=7)])
    assert rows(index, Between("width", 7, 7)) == [0]


@dense_only
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
    index.flush()
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


def test_objects_are_counted_by_label_and_by_what_they_belong_to(index):
    found = (["cat", "dog"], ["sofa", "couch", "penguin"], ["penguin"] * 3, ["truck", "person"])
    fill(index, [record(row, objects=objects(labels)) for row, labels in enumerate(found)])
    assert rows(index, HasObject("animal", 2)) == [0]
    assert rows(index, HasObject("pet", 1), HasObject("cat", 1, 1)) == [0]
    assert rows(index, HasObject("couch", 2)) == rows(index, HasObject("furniture", 2, 2)) == [1]
    assert rows(index, HasObject("sofa")) == [1]
    assert rows(index, HasObject("penguin", 2)) == [2]
    assert rows(index, HasObject("vehicle"), HasObject("person")) == [3]
    assert rows(index, HasObject("animal", is_negated=True)) == [1, 2, 3]


def test_a_new_reading_replaces_objects_and_what_the_picture_is(index):
    fill(
        index,
        [
            record(0, kind="photo", color_tags=("red",), objects=objects(["cat"])),
            record(1, kind="photo", objects=objects(["dog", "dog", "car"])),
        ],
    )
    assert rows(index, HasObject("dog", at_least=2)) == [1]
    assert rows(index, HasObject("animal")) == [0, 1]
    read = [
        record(0, kind="lineart", width=77, color_tags=("blue",), objects=objects(["dog"] * 3)),
        record(1, kind="photo", objects=objects(["car", "dog"])),
    ]
    for _ in range(2):
        index.update(read)
        index.flush()
    assert rows(index, HasObject("cat")) == []
    assert rows(index, HasObject("dog", at_least=2)) == [0]
    assert rows(index, HasObject("dog", at_most=1)) == [1]
    assert rows(index, HasObject("animal", at_least=3)) == [0]
    assert rows(index, HasObject("vehicle")) == [1]
    assert rows(index, OneOf("type", frozenset({"lineart"}))) == [0]
    assert rows(index, OneOf("type", frozenset({"photo"}))) == [1]
    assert rows(index, OneOf("color", frozenset({"red"}))) == []
    assert rows(index, Between("width", 77, 77)) == [0]
    assert index.facets(index.select(Filter()))["type"] == {"photo": 1, "lineart": 1}


@dense_only
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
    assert selected(index, narrow) == []
    index.update([record(1, sources=(Source("/a", licence="cc0"),))])
    assert selected(index, narrow) == [1]
    index.remove(np.array([1]))
    assert selected(index, narrow) == []


def test_facets_of_an_older_or_open_selection(index):
    fill(index, [record(0), record(1)])
    old = index.select(Filter())
    fill(index, [record(0), record(1), record(2)])
    if old.mask is not None:
        assert index.facets(old)["type"] == {"photo": 2}
    assert index.facets(Selection(Filter()))["type"] == {"photo": 3}


def test_a_listing_pages_from_the_newest(index):
    fill(index, [record(row, width=row, first_seen=row // 3) for row in range(25)])
    index.remove(np.array([3, 24]))
    expected = [row for row in range(24, 4, -1) if row != 24]
    selection = index.select(Filter((Between("width", 5),)))
    found, after = [], None
    for _ in range(3):
        page = index.listing(selection, k=8, after=after)
        assert page.total == len(expected)
        found += page.rows.tolist()
        after = page.last
    assert found == expected
    assert after is None
    exactly = index.listing(selection, k=len(expected))
    assert (exactly.rows.tolist(), exactly.last) == (expected, None)
    assert index.listing(selection, k=0).rows.size == 0


@clusters_only
def test_rows_may_be_hashes(index):
    hashes = [2**63 - 1, 2**63 - 2, 2**53 + 1, 0]
    fill(index, [record(row, bytes=2**40 + 1, first_seen=1.7e9 + 0.25) for row in hashes])
    assert rows(index, Between("bytes", 2**40 + 1), Between("seen", 1.7e9 + 0.25)) == hashes[::-1]
    assert rows(index, Between("bytes", high=2**40)) == []
    page = index.listing(index.select(Filter()), k=2)
    assert page.last is not None
    rest = index.listing(index.select(Filter()), k=2, after=page.last)
    assert page.rows.tolist() + rest.rows.tolist() == hashes


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


@dense_only
def test_a_writer_cuts_away_what_no_commit_stated(opened):
    index = opened()
    fill(index, [record(row, width=row) for row in range(5)])
    index.close()
    again = opened(rows=3)
    again.append([record(4, width=44)])
    again.refresh(5)
    assert rows(again, Between("width", 0, 0)) == [0, 3]
    assert rows(again, Between("width", 44, 44)) == [4]


@clusters_only
def test_readers_share_what_writers_write(opened):
    writer, other, reader = opened(), opened(), opened(is_writer=False)
    fill(writer, [record(0)])
    fill(other, [record(1, width=7)])
    assert rows(reader, Between("width", 7, 7)) == [1]
    other.save(9)
    writer.save(8)
    assert reader.seq == 0
    reader.refresh(2)
    assert reader.seq == 9


@dense_only
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
