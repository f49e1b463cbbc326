"""What every catalog promises; a new back end adds one line to `CATALOGS`."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.domain import reasons
from lookalike.domain.errors import LookalikeError, StoreError
from lookalike.domain.images import (
    MOST_WORDS,
    DetectedObject,
    ImageFacts,
    ImageId,
    ImageRecord,
    OcrWord,
    PaletteColour,
    Row,
    Source,
    image_id,
)
from lookalike.ports.catalog import Batch, CatalogState, Failure, NewImage, Reading
from tests.catalog_places import NOW


@pytest.fixture
def catalog(opened):
    return opened()


def key(name):
    return image_id(name.encode())


def facts(name, **changes):
    return ImageFacts(key(name), 640, 480, 12_345, "jpeg", **changes)


def new(name, row, **changes):
    return NewImage(Row(row), facts(name, **changes))


def seen(name, uri, **changes):
    return key(name), Source(uri, **{"seen": NOW} | changes)


def put(catalog, name, row, *uris):
    """State an image with its sources, `/name` when none are named."""
    sources = [seen(name, uri) for uri in uris or (f"/{name}",)]
    return catalog.commit(Batch([new(name, row)], sources, rows=row + 1))


def only(catalog, row):
    (record,) = catalog.records([row])
    return record


# ── Images and their records ─────────────────────────────────────────────────────────────


def test_an_empty_catalog_knows_nothing(catalog):
    assert catalog.state() == CatalogState(0, 0, 0, 0, 0, 0)
    assert catalog.records([0, 5]) == [None, None]
    assert list(catalog.all_records()) == []
    assert catalog.rows_of([key("a")]) == {}
    assert catalog.source_states(["/a"]) == {}
    assert list(catalog.uris_under("")) == []
    assert list(catalog.changes(after=0)) == []
    assert list(catalog.failures()) == []
    assert catalog.failure_counts() == {}
    assert list(catalog.removed_rows()) == []
    assert catalog.blocked([key("a")]) == frozenset()
    assert list(catalog.all_blocked()) == []
    assert list(catalog.all_failures()) == []


def test_a_record_comes_back_as_it_was(catalog):
    given_facts = facts(
        "a",
        frames=3,
        kind="clipart",
        is_animated=True,
        is_transparent=True,
        taken=-12.5,
        palette=(PaletteColour((50.0, -12.5, 3.25), 0.75), PaletteColour((0.0, 0.0, 0.0), 0.25)),
        color_tags=("red", "grey"),
        phash=(1 << 64) - 3,
        phash_quality=0.625,
        licence="cc-by-4.0",
        embedded_text="Ein Käfer\0 🪲",
    )
    source = Source(
        "https://example.org/a.jpg",
        "etag",
        "https://example.org/",
        "www.example.org",
        "Title",
        "alt",
        "caption" * 100_000,
        "page",
        "cc0",
        12.0,
        NOW - 5,
    )
    catalog.commit(
        Batch([NewImage(Row(0), given_facts, {"space": "lite 1"})], [(key("a"), source)], rows=1)
    )
    assert only(catalog, 0) == ImageRecord(
        Row(0),
        given_facts,
        (source,),
        first_seen=NOW - 5,
        last_seen=NOW - 5,
        models={"space": "lite 1"},
    )


@pytest.mark.parametrize("phash", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_phash_comes_back(catalog, phash):
    catalog.commit(Batch([new("a", 0, phash=phash)], [seen("a", "/a")]))
    assert only(catalog, 0).facts.phash == phash


@given(text=st.text(st.characters(), max_size=20))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(place, text):
    place.fresh()
    catalog = place.open()
    source = Source("/" + text, text, text, text, text, text, text, text, text, None, NOW)
    catalog.commit(Batch([new("a", 0, embedded_text=text, licence=text)], [(key("a"), source)]))
    catalog.commit(Batch(failures=[Failure("//" + text, text, text, text, NOW)]))
    assert only(catalog, 0).sources == (source,)
    assert only(catalog, 0).facts.embedded_text == text
    assert catalog.source_states(["/" + text])["/" + text].fingerprint == text
    assert list(catalog.failures()) == [Failure("//" + text, text, text, text, NOW)]
    catalog.close()


ODD = "/pictures/\udcff\udc80.jpg"


def test_names_that_are_not_utf8_come_back(catalog):
    put(catalog, "a", 0, ODD, "/pictures/\ud83d\ude00.jpg", "/pictures/😀.jpg")
    uris = [source.uri for source in only(catalog, 0).sources]
    assert uris == [ODD, "/pictures/\ud83d\ude00.jpg", "/pictures/😀.jpg"]
    assert set(catalog.uris_under("/pictures/")) == set(uris)
    assert list(catalog.uris_under("/pictures/\udcff")) == [ODD]
    assert catalog.source_states([ODD])[ODD].image == key("a")


def test_records_keep_the_order_asked_for(catalog):
    for row, name in enumerate("abc"):
        put(catalog, name, row)
    records = catalog.records([2, 9, 0, 2])
    assert [record and record.id for record in records] == [key("c"), None, key("a"), key("c")]


def test_many_rows_and_uris_at_once(place, catalog):
    many = place.many
    names = [f"n{number}" for number in range(many)]
    catalog.commit(
        Batch(
            [new(name, row) for row, name in enumerate(names)],
            [seen(name, f"/{name}") for name in names],
        )
    )
    assert [record.id for record in catalog.records(range(many))] == [key(name) for name in names]
    assert listed(place, catalog) == list(range(many))
    assert listed(place, catalog, first_row=many - 100) == list(range(many - 100, many))
    assert len(catalog.source_states([f"/{name}" for name in names])) == many
    assert len(catalog.rows_of([key(name) for name in names])) == many
    assert list(catalog.uris_under("/n")) == sorted(f"/{name}" for name in names)
    log = list(catalog.changes(after=0))
    assert [change.row for change in log] == list(range(many))
    assert list(catalog.changes(after=log[-11].seq)) == log[-10:]


def listed(place, catalog, **options):
    """Return the rows of a whole listing, which is in row order or in the store's own."""
    rows = [record.row for record in catalog.all_records(**options)]
    return rows if place.is_in_row_order else sorted(rows)


def test_an_image_without_sources_was_seen_now(catalog):
    catalog.commit(Batch([new("a", 0)]))
    assert only(catalog, 0) == ImageRecord(Row(0), facts("a"), first_seen=NOW, last_seen=NOW)


def test_a_source_without_a_time_was_seen_now(catalog):
    catalog.commit(Batch([new("a", 0)], [(key("a"), Source("/a"))]))
    assert only(catalog, 0).sources[0].seen == NOW


def test_first_and_last_seen_span_every_sighting(catalog):
    catalog.commit(Batch([new("a", 0)], [seen("a", "/a", seen=50.0)]))
    catalog.commit(Batch(sources=[seen("a", "/b", seen=90.0), seen("a", "/c", seen=20.0)]))
    assert (only(catalog, 0).first_seen, only(catalog, 0).last_seen) == (20.0, 90.0)


# ── What models read ─────────────────────────────────────────────────────────────────────

CAT = DetectedObject("cat", 0.91, (0.1, 0.2, 0.3, 0.4))
DOG = DetectedObject("dog", 0.5, (0.0, 0.0, 1.0, 0.3333))
WORDS = (
    OcrWord("NO", 0.9, (0.1, 0.1, 0.2, 0.05), 0),
    OcrWord("parking", 0.8, (0.35, 0.1, 0.4, 0.05), 0),
    OcrWord("Käfer\0\udcff 🪲", 0.25, (0.0, 0.5, 1.0, 0.5), 3),
)


def carried(**changes):
    return facts(
        "a",
        embedded_title="Tïtle\0",
        keywords=("a, b", "", "\udcff"),
        creator="Ann",
        rights="© Ann",
        place=(-33.5, 151.25),
        **changes,
    )


def test_objects_words_and_what_a_file_carries_come_back(catalog):
    image = NewImage(Row(0), carried(), objects=(CAT, DOG, CAT), words=WORDS)
    catalog.commit(Batch([image], [seen("a", "/a")]))
    record = only(catalog, 0)
    assert (record.facts, record.objects, record.words) == (carried(), (CAT, DOG, CAT), WORDS)
    assert record.copy_group is None
    assert record.ocr_text.splitlines()[0] == "NO parking"
    assert list(catalog.all_records()) == [record]


def test_a_reading_replaces_what_it_speaks_of_and_is_logged(catalog):
    first = NewImage(Row(0), carried(), {"space": "lite 1"}, objects=(CAT,), words=WORDS)
    seq = catalog.commit(Batch([first], [seen("a", "/a"), seen("a", "/b")]))
    state, before = catalog.state(), only(catalog, 0)
    objects = Reading(key("a"), objects=(DOG, DOG), models={"objects": "coco 2"})
    catalog.commit(Batch(readings=[objects]))
    after = replace(before, objects=(DOG, DOG), models={"space": "lite 1", "objects": "coco 2"})
    assert only(catalog, 0) == after
    assert [(one.op, one.row) for one in catalog.changes(after=seq)] == [("put", 0)]
    catalog.commit(Batch(readings=[Reading(key("a"), words=(), models={"space": "lite 2"})]))
    after = replace(after, words=(), models=after.models | {"space": "lite 2"})
    assert only(catalog, 0) == after
    catalog.commit(Batch(readings=[Reading(key("a"), facts=facts("a", kind="lineart"))]))
    assert only(catalog, 0) == replace(after, facts=facts("a", kind="lineart"))
    assert replace(catalog.state(), seq=0) == replace(state, seq=0)


def test_a_reading_that_says_nothing_new_leaves_the_log_alone(catalog):
    image = NewImage(Row(0), carried(), {"objects": "1"}, objects=(CAT,), words=WORDS)
    seq = catalog.commit(Batch([image], [seen("a", "/a")]))
    same = Reading(key("a"), (CAT,), WORDS, carried(), {"objects": "1"})
    assert catalog.commit(Batch(readings=[same, Reading(key("a"))])) == seq


def test_a_reading_of_an_image_that_is_not_there_is_passed_over(catalog):
    put(catalog, "a", 0)
    catalog.remove([key("a")])
    state = catalog.state()
    readings = [Reading(key(name), objects=(CAT,), models={"x": "1"}) for name in "ab"]
    catalog.commit(Batch(readings=readings))
    assert catalog.state() == state
    assert only(catalog, 0) is None
    put(catalog, "a", 1)
    assert only(catalog, 1).objects == ()


def test_a_reading_may_come_with_its_image(catalog):
    reading = Reading(key("a"), objects=(CAT,), models={"objects": "1"})
    batch = Batch([NewImage(Row(0), facts("a"), {"space": "1"})], [seen("a", "/a")])
    catalog.commit(replace(batch, readings=[reading]))
    assert only(catalog, 0).objects == (CAT,)
    assert only(catalog, 0).models == {"space": "1", "objects": "1"}


def test_facts_of_another_image_are_refused(catalog):
    put(catalog, "a", 0)
    before = only(catalog, 0)
    for wrong in (Reading(key("a"), facts=facts("b")), Reading(ImageId("nonsense"), (CAT,))):
        with pytest.raises(StoreError):
            catalog.commit(Batch(readings=[wrong]))
    assert only(catalog, 0) == before


def test_very_many_words_and_objects_are_bounded(catalog):
    words = tuple(replace(WORDS[0], line=number, text="x" * 5000) for number in range(3000))
    image = NewImage(Row(0), facts("a"), objects=(CAT,) * 5000, words=words)
    catalog.commit(Batch([image], [seen("a", "/a")]))
    record = only(catalog, 0)
    assert record.objects == (CAT,) * 100
    assert [word.line for word in record.words] == list(range(MOST_WORDS))
    assert {word.text for word in record.words} == {"x" * 1000}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_boxes_that_are_no_numbers_are_refused(catalog, value):
    for bad in (replace(CAT, score=value), replace(CAT, box=(0.0, value, 0.1, 0.1))):
        with pytest.raises(StoreError):
            catalog.commit(Batch([replace(new("a", 0), objects=(bad,))], [seen("a", "/a")]))
    assert only(catalog, 0) is None


def test_how_long_the_files_of_regions_are_is_stated(place, catalog):
    catalog.commit(Batch([new("a", 0)], [seen("a", "/a")], regions=3))
    assert catalog.state().regions == (3 if place.has_region_files else 0)
    catalog.commit(Batch(sources=[seen("a", "/b")]))
    assert catalog.state().regions == (3 if place.has_region_files else 0)


# ── Merging ──────────────────────────────────────────────────────────────────────────────


def test_committing_twice_equals_once(catalog):
    put(catalog, "a", 0)
    before, state = only(catalog, 0), catalog.state()
    put(catalog, "a", 0)
    assert only(catalog, 0) == before
    assert catalog.state() == state


def test_a_known_image_keeps_its_row_and_the_new_row_counts_as_removed(catalog):
    first = put(catalog, "a", 0)
    seq = put(catalog, "a", 1, "/other")
    assert catalog.rows_of([key("a")]) == {key("a"): 0}
    assert [source.uri for source in only(catalog, 0).sources] == ["/a", "/other"]
    assert only(catalog, 1) is None
    assert list(catalog.removed_rows()) == [1]
    assert catalog.state() == CatalogState(seq, rows=2, images=1, sources=2, removed=1, failures=0)
    assert {(change.op, change.row) for change in catalog.changes(after=first)} == {
        ("put", 0),
        ("remove", 1),
    }


def test_the_same_image_twice_in_one_batch_is_one_image(catalog):
    catalog.commit(Batch([new("a", 0), new("a", 1)], [seen("a", "/a"), seen("a", "/copy")], rows=2))
    assert catalog.rows_of([key("a")]) == {key("a"): 0}
    assert len(only(catalog, 0).sources) == 2
    assert list(catalog.removed_rows()) == [1]


def test_rows_stated_without_an_image_count_as_removed(catalog):
    catalog.commit(Batch([new("a", 2)], [seen("a", "/a")], rows=4))
    state = catalog.state()
    assert (state.rows, state.images, state.removed) == (4, 1, 3)
    assert list(catalog.removed_rows()) == [0, 1, 3]


def test_a_known_source_takes_over_what_is_said_anew_and_keeps_the_rest(catalog):
    catalog.commit(
        Batch([new("a", 0)], [seen("a", "/a", caption="old", title="t", licence="cc0", taken=5.0)])
    )
    catalog.commit(Batch(sources=[seen("a", "/a", caption="new", fingerprint="f", seen=NOW + 1)]))
    (source,) = only(catalog, 0).sources
    assert source == Source(
        "/a", "f", caption="new", title="t", licence="cc0", taken=5.0, seen=NOW + 1
    )
    assert catalog.state().sources == 1


def test_a_sighting_that_changes_nothing_leaves_the_log_alone(catalog):
    put(catalog, "a", 0)
    seq = catalog.state().seq
    assert catalog.commit(Batch(sources=[seen("a", "/a", seen=NOW + 9, fingerprint="2")])) == seq
    assert catalog.source_states(["/a"])["/a"].fingerprint == "2"
    assert only(catalog, 0).last_seen == NOW + 9


# ── Moves, failures, what vanished ───────────────────────────────────────────────────────


def test_a_uri_that_moves_leaves_the_old_image(catalog):
    put(catalog, "a", 0, "/x", "/y")
    put(catalog, "b", 1, "/x")
    assert [source.uri for source in only(catalog, 0).sources] == ["/y"]
    assert [source.uri for source in only(catalog, 1).sources] == ["/x"]
    assert catalog.source_states(["/x"])["/x"].image == key("b")
    assert catalog.state().sources == 2


def test_an_image_whose_last_uri_moves_is_removed(catalog):
    first = put(catalog, "a", 0, "/x")
    put(catalog, "b", 1, "/x")
    assert only(catalog, 0) is None
    assert catalog.rows_of([key("a"), key("b")]) == {key("b"): 1}
    assert list(catalog.removed_rows()) == [0]
    assert [(c.op, c.row, c.id) for c in catalog.changes(after=first)] == [
        ("put", 1, key("b")),
        ("remove", 0, key("a")),
    ]


def test_what_a_source_said_does_not_move_with_it(catalog):
    catalog.commit(Batch([new("a", 0)], [seen("a", "/x", caption="of a")]))
    put(catalog, "b", 1, "/x")
    assert only(catalog, 1).sources[0].caption == ""


def test_a_failure_drops_the_source_it_had(catalog):
    put(catalog, "a", 0, "/x", "/y")
    catalog.commit(Batch(failures=[Failure("/x", reasons.CORRUPT, "bad", "f1", NOW)]))
    assert [source.uri for source in only(catalog, 0).sources] == ["/y"]
    state = catalog.source_states(["/x"])["/x"]
    assert (state.image, state.reason, state.fingerprint) == (None, reasons.CORRUPT, "f1")
    catalog.commit(Batch(failures=[Failure("/y", reasons.EMPTY)]))
    assert only(catalog, 0) is None
    assert catalog.failure_counts() == {reasons.CORRUPT: 1, reasons.EMPTY: 1}
    assert [failure.uri for failure in catalog.failures()] == ["/y", "/x"]
    assert [failure.uri for failure in catalog.failures(limit=1)] == ["/y"]
    assert catalog.failures()[0].seen == NOW


def test_a_failure_is_remembered_once_and_forgotten_when_the_source_is_good(catalog):
    catalog.commit(Batch(failures=[Failure("/x", reasons.EMPTY)]))
    catalog.commit(Batch(failures=[Failure("/x", reasons.CORRUPT)]))
    assert catalog.failure_counts() == {reasons.CORRUPT: 1}
    assert catalog.state().failures == 1
    put(catalog, "a", 0, "/x")
    assert catalog.failure_counts() == {}
    assert catalog.state().failures == 0


def test_a_vanished_uri_is_marked_and_its_image_stays(catalog):
    put(catalog, "a", 0)
    catalog.commit(Batch(vanished=["/a", "/unknown"]))
    assert only(catalog, 0).sources[0].is_vanished
    assert list(catalog.uris_under("/")) == []
    assert catalog.state().images == 1
    assert catalog.state().sources == 0


def test_a_vanished_uri_is_read_again_and_comes_back(catalog):
    catalog.commit(Batch([new("a", 0)], [seen("a", "/a", fingerprint="f")]))
    catalog.commit(Batch(vanished=["/a"]))
    state = catalog.source_states(["/a"])["/a"]
    assert (state.image, state.fingerprint) == (key("a"), "")
    catalog.commit(Batch(sources=[seen("a", "/a", fingerprint="f")]))
    assert not only(catalog, 0).sources[0].is_vanished
    assert catalog.source_states(["/a"])["/a"].fingerprint == "f"
    assert catalog.state().sources == 1


def test_a_vanished_failure_is_forgotten(catalog):
    catalog.commit(Batch(failures=[Failure("/x", reasons.EMPTY)]))
    assert list(catalog.uris_under("/")) == ["/x"]
    catalog.commit(Batch(vanished=["/x"]))
    assert list(catalog.uris_under("/")) == []
    assert catalog.failure_counts() == {}


def test_a_forgotten_uri_takes_its_image_along_unless_it_has_another(catalog):
    put(catalog, "a", 0)
    put(catalog, "b", 1)
    catalog.commit(Batch(sources=[seen("b", "/elsewhere")]))
    catalog.commit(Batch(failures=[Failure("/x", reasons.EMPTY)]))
    catalog.commit(Batch(forgotten=["/a", "/b", "/x", "/unknown"]))
    assert only(catalog, 0) is None
    assert [source.uri for source in only(catalog, 1).sources] == ["/elsewhere"]
    assert catalog.failure_counts() == {}
    assert catalog.source_states(["/a", "/b", "/x"]) == {}
    assert catalog.state().images == 1


def test_a_source_may_come_vanished(catalog):
    gone = seen("a", "/gone", fingerprint="f", is_vanished=True)
    catalog.commit(Batch([new("a", 0)], [gone, seen("a", "/a")]))
    assert {s.uri: s.is_vanished for s in only(catalog, 0).sources} == {"/gone": True, "/a": False}
    assert catalog.source_states(["/gone"])["/gone"].fingerprint == ""
    assert list(catalog.uris_under("/")) == ["/a"]
    assert catalog.state().sources == 1


def test_times_of_another_index_are_kept_and_widened(catalog):
    image = replace(new("a", 0), first_seen=NOW - 50, last_seen=NOW - 5)
    catalog.commit(Batch([image], [seen("a", "/a", seen=NOW - 20), seen("a", "/b", seen=NOW - 9)]))
    assert (only(catalog, 0).first_seen, only(catalog, 0).last_seen) == (NOW - 50, NOW - 5)
    catalog.commit(Batch(sources=[seen("a", "/c", seen=NOW), seen("a", "/d", seen=NOW - 60)]))
    assert (only(catalog, 0).first_seen, only(catalog, 0).last_seen) == (NOW - 60, NOW)


def test_every_failure_and_every_blocked_image_is_listed(catalog):
    failures = [Failure(f"/{n:04}", reasons.EMPTY, "why", f"f{n}", NOW - n) for n in range(1100)]
    catalog.commit(Batch(failures=failures))
    assert sorted(catalog.all_failures(), key=lambda one: one.uri) == failures
    blocked = [key(f"{n}") for n in range(1100)]
    catalog.remove(blocked, is_blocked=True)
    assert sorted(catalog.all_blocked()) == sorted(blocked)


def test_perceptual_hashes_of_live_images(catalog):
    assert [len(part) for part in catalog.phashes()] == [0, 0, 0]
    put(catalog, "a", 0)
    put(catalog, "b", 1)
    catalog.remove([key("a")])
    rows, hashes, qualities = catalog.phashes()
    assert rows.tolist() == [1]
    assert hashes.dtype == np.uint64
    facts = only(catalog, 1).facts
    assert int(hashes[0]) == facts.phash
    assert float(qualities[0]) == pytest.approx(facts.phash_quality)


def test_a_source_of_an_unknown_image_is_passed_over(catalog):
    catalog.commit(Batch(sources=[seen("a", "/a")]))
    assert catalog.source_states(["/a"]) == {}
    assert catalog.state() == CatalogState(0, 0, 0, 0, 0, 0)


# ── Removing ─────────────────────────────────────────────────────────────────────────────


def test_removing_frees_the_uris_and_a_new_row_may_be_taken(catalog):
    put(catalog, "a", 0)
    assert list(catalog.remove([key("a"), key("unknown"), ImageId("nonsense")])) == [0]
    assert only(catalog, 0) is None
    assert catalog.source_states(["/a"]) == {}
    assert list(catalog.removed_rows()) == [0]
    assert catalog.blocked([key("a")]) == frozenset()
    put(catalog, "a", 1)
    assert catalog.rows_of([key("a")]) == {key("a"): 1}
    assert [(change.op, change.row) for change in catalog.changes(after=0)] == [
        ("put", 0),
        ("remove", 0),
        ("put", 1),
    ]


def test_removing_twice_equals_once(catalog):
    put(catalog, "a", 0)
    catalog.remove([key("a")])
    state = catalog.state()
    assert list(catalog.remove([key("a")])) == []
    assert catalog.state() == state


def test_a_blocked_image_never_comes_back(catalog):
    put(catalog, "a", 0)
    catalog.remove([key("a"), key("never seen")], is_blocked=True)
    assert catalog.blocked([key("a"), key("b"), key("never seen")]) == {
        key("a"),
        key("never seen"),
    }
    put(catalog, "a", 1)
    assert catalog.rows_of([key("a")]) == {}
    assert list(catalog.removed_rows()) == [0, 1]
    assert catalog.source_states(["/a"])["/a"].reason == reasons.BLOCKED


# ── Finding ──────────────────────────────────────────────────────────────────────────────


def test_sites_include_their_sub_domains_only(catalog):
    sites = ["example.org", "a.example.org", "b.a.example.org", "notexample.org", "org", ""]
    for row, site in enumerate(sites):
        catalog.commit(Batch([new(str(row), row)], [seen(str(row), f"/{row}", site=site)]))
    assert list(catalog.ids_of_site("example.org")) == [key("0"), key("1"), key("2")]
    assert list(catalog.ids_of_site("a.example.org")) == [key("1"), key("2")]
    assert list(catalog.ids_of_site("")) == []
    catalog.remove([key("1")])
    assert list(catalog.ids_of_site("example.org")) == [key("0"), key("2")]


def test_ids_are_found_by_their_first_digits(catalog):
    names = [f"n{number}" for number in range(50)]
    catalog.commit(Batch([new(name, row) for row, name in enumerate(names)]))
    ids = sorted(key(name) for name in names)
    for length, wanted in itertools.product((0, 1, 2, 3, 31, 32), ids[:5]):
        prefix = wanted[:length]
        meant = [image for image in ids if image.startswith(prefix)]
        assert list(catalog.ids_with_prefix(prefix, limit=100)) == meant
        assert list(catalog.ids_with_prefix(prefix.upper(), limit=2)) == meant[:2]
    assert list(catalog.ids_with_prefix("no hex")) == []
    assert list(catalog.ids_with_prefix(ids[0] + "0")) == []


def test_uris_under_takes_the_prefix_literally(catalog):
    put(catalog, "a", 0, "/a%b/1", "/a_b/2", "/a/3", "/A/4")
    assert list(catalog.uris_under("/a%")) == ["/a%b/1"]
    assert list(catalog.uris_under("/a")) == ["/a%b/1", "/a/3", "/a_b/2"]


def test_the_log_can_be_read_in_pieces(catalog):
    for row in range(7):
        put(catalog, str(row), row)
    whole = list(catalog.changes(after=0))
    pieces, after = [], 0
    while piece := list(catalog.changes(after=after, limit=2)):
        pieces += piece
        after = piece[-1].seq
    assert pieces == whole
    assert after == catalog.state().seq
    assert [change.seq for change in whole] == sorted({change.seq for change in whole})


# ── Together ─────────────────────────────────────────────────────────────────────────────


def test_a_commit_that_fails_leaves_nothing(catalog):
    put(catalog, "a", 0)
    before = catalog.state()
    bad = replace(facts("c"), id=ImageId("nonsense"))
    with pytest.raises(LookalikeError):
        catalog.commit(Batch([new("b", 1), NewImage(Row(2), bad)], [seen("b", "/b")]))
    with pytest.raises(StoreError):
        catalog.commit(Batch([new("b", 0)], [seen("b", "/b")]))
    with pytest.raises(StoreError):
        catalog.commit(Batch([new("b", 5)], [seen("b", "/b")], rows=3))
    with pytest.raises(LookalikeError):
        catalog.commit(Batch([new("b", 1, phash_quality=float("nan"))], [seen("b", "/b")]))
    assert catalog.state() == before
    assert catalog.rows_of([key("b")]) == {}
    assert list(catalog.changes(after=before.seq)) == []
    put(catalog, "b", 1)


def test_everything_is_there_after_opening_again(opened):
    catalog = opened()
    put(catalog, "a", 0)
    catalog.commit(Batch(failures=[Failure("/x", reasons.EMPTY)]))
    state, record = catalog.state(), only(catalog, 0)
    catalog.close()
    for is_writer in (False, True):
        again = opened(is_writer=is_writer)
        assert again.state() == state
        assert only(again, 0) == record
        again.close()


def test_a_reader_sees_commits_without_opening_again(opened):
    writer = opened()
    reader = opened(is_writer=False)
    put(writer, "a", 0)
    assert reader.state() == writer.state()
    assert only(reader, 0) == only(writer, 0)


def test_a_reader_cannot_write(opened):
    opened()
    reader = opened(is_writer=False)
    with pytest.raises(StoreError):
        put(reader, "a", 0)
    with pytest.raises(StoreError):
        reader.remove([key("a")])


def test_a_closed_catalog_says_so(opened):
    catalog = opened()
    catalog.close()
    catalog.close()
    with pytest.raises(StoreError):
        catalog.state()
    with pytest.raises(StoreError):
        put(catalog, "a", 0)


def test_an_iterator_outlives_commits(place, catalog):
    half = place.many // 4
    names = [f"n{number}" for number in range(2 * half)]
    catalog.commit(
        Batch(
            [new(name, row) for row, name in enumerate(names)],
            [seen(name, f"/{name}") for name in names],
        )
    )
    records, uris = catalog.all_records(), catalog.uris_under("/")
    first, _ = next(records), next(uris)
    catalog.remove([key(name) for name in names[half:]])
    rest = [record.row for record in records]
    assert len(rest) == len(set(rest))
    assert set(range(half)) <= {first.row, *rest} <= set(range(2 * half))
    assert len(list(uris)) < 2 * half
    if place.is_in_row_order:
        assert rest == list(range(1, half))


def test_a_sample_holds_live_rows_only_and_stays_the_same(catalog):
    assert list(catalog.sample_rows(5)) == []
    for row in range(30):
        put(catalog, str(row), row)
    catalog.remove([key(str(row)) for row in range(0, 30, 3)])
    live = {row for row in range(30) if row % 3}
    sample = list(catalog.sample_rows(8))
    assert sample == sorted(set(sample))
    assert set(sample) <= live
    assert list(catalog.sample_rows(8)) == sample
    assert list(catalog.sample_rows(1000)) == sorted(live)


def test_threads_read_while_another_writes(catalog):
    def read(_):
        state = catalog.state()
        found = catalog.records(range(state.rows))
        assert state.images + state.removed == state.rows
        assert all(record is not None for record in found)
        return len(found)

    with ThreadPoolExecutor(6) as pool:
        writes = pool.submit(lambda: [put(catalog, str(row), row) for row in range(60)])
        counts = list(pool.map(read, range(200)))
        writes.result()
    assert max(counts) <= 60
    assert catalog.state().images == 60
