"""What every copy ledger promises; a new one adds one line to `LEDGERS`."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.domain.errors import StoreError
from lookalike.domain.images import ImageFacts, Row, Source, image_id
from lookalike.ports.catalog import Batch, NewImage
from lookalike.ports.copies import CopyDecision, CopyMember, CopyStep

IMAGES = 8


@pytest.fixture
def catalog(opened):
    catalog = opened()
    fill(catalog)
    return catalog


@pytest.fixture
def ledger(catalog):
    return catalog.copies


def key(row):
    return image_id(str(row).encode())


def fill(catalog, rows=range(IMAGES)):
    """State images at rows, each with a source of its own."""
    catalog.commit(
        Batch(
            [NewImage(Row(row), ImageFacts(key(row), 4, 3, 9, "png")) for row in rows],
            [(key(row), Source(f"/{row}", seen=1.0)) for row in rows],
        )
    )


def head(row, group=None):
    return CopyMember(row, row if group is None else group, is_canonical=True)


def link(row, group, via=None, reason="phash", score=0.5):
    return CopyMember(row, group, via=group if via is None else via, reason=reason, score=score)


def group(ledger, *members):
    ledger.replace([one.row for one in members], members)


def groups_of(ledger, *rows):
    found = ledger.groups_of(np.array(rows, np.int64))
    assert found.dtype == np.int64
    return found.tolist()


def groups(ledger):
    """Every group by its number, after a look at what all promise."""
    found = {members[0].group: list(members) for members in ledger.all_groups()}
    rows = [one.row for members in found.values() for one in members]
    assert len(rows) == len(set(rows))
    assert ledger.counts() == (len(found), len(rows))
    assert dict(ledger.members(list(found))) == found
    for number, members in found.items():
        assert len(members) >= 2
        assert [one.is_canonical for one in members] == [True] + [False] * (len(members) - 1)
        assert {one.group for one in members} == {number}
        assert (members[0].via, members[0].reason, members[0].score) == (-1, "", 1.0)
        scores = [one.score for one in members[1:]]
        assert scores == sorted(scores, reverse=True)
        assert {one.via for one in members[1:]} <= {one.row for one in members}
        assert groups_of(ledger, *(one.row for one in members)) == [number] * len(members)
    return found


# ── Groups ───────────────────────────────────────────────────────────────────────────────


def test_an_empty_ledger_knows_nothing(ledger):
    assert ledger.seq == 0
    assert groups_of(ledger) == []
    assert groups_of(ledger, 0, 5, 99) == [-1, -1, -1]
    assert dict(ledger.members([0, 7])) == {}
    assert groups(ledger) == {}
    assert list(ledger.decisions([0, 1])) == []
    assert ledger.kept([0, 1]) == frozenset()
    assert list(ledger.steps()) == []
    assert ledger.undo() is None


def test_a_group_comes_back_with_its_links(ledger, catalog, opened):
    members = [head(2), link(5, 2, reason="bytes", score=0.75), link(3, 2, via=5, score=0.25)]
    group(ledger, *members)
    assert groups(ledger) == {2: members}
    assert groups_of(ledger, 3, 0, 2, 99, 3) == [2, -1, 2, -1, 2]
    assert [record.copy_group for record in catalog.records([2, 3, 4])] == [2, 2, None]
    assert {one.row: one.copy_group for one in catalog.all_records()}[5] == 2
    assert groups(opened(is_writer=False).copies) == {2: members}


def test_a_member_joins_a_group_that_is_left_as_it_was(ledger):
    group(ledger, head(2), link(5, 2))
    ledger.replace([7], [link(7, 2, via=5, score=0.9)])
    assert groups(ledger) == {2: [head(2), link(7, 2, via=5, score=0.9), link(5, 2)]}


def test_another_image_becomes_canonical(ledger):
    group(ledger, head(2), link(5, 2))
    group(ledger, link(2, 2, via=5), head(5, 2))
    assert groups(ledger) == {2: [head(5, 2), link(2, 2, via=5)]}
    ledger.replace([7], [head(7, 2)])
    assert groups(ledger)[2][0] == head(7, 2)


def test_two_groups_become_one_and_fall_apart(ledger):
    group(ledger, head(0), link(1, 0))
    group(ledger, head(2), link(3, 2))
    group(ledger, head(0), link(1, 0), link(2, 0), link(3, 0, via=2))
    assert groups(ledger) == {0: [head(0), link(1, 0), link(2, 0), link(3, 0, via=2)]}
    ledger.replace([2, 3], [head(2), link(3, 2)])
    assert groups(ledger) == {0: [head(0), link(1, 0)], 2: [head(2), link(3, 2)]}
    ledger.replace([3], [])
    assert groups(ledger) == {0: [head(0), link(1, 0)]}
    assert groups_of(ledger, 2, 3) == [-1, -1]
    ledger.replace(range(4), [])
    assert groups(ledger) == {}


def test_a_group_of_one_is_none(ledger):
    group(ledger, head(4))
    assert groups(ledger) == {}
    assert groups_of(ledger, 4) == [-1]


def test_doing_it_twice_equals_once(ledger):
    for _ in range(2):
        group(ledger, head(2), link(5, 2))
    assert groups(ledger) == {2: [head(2), link(5, 2)]}


def test_rows_of_no_image_stay_out(ledger, catalog):
    group(ledger, head(2), link(5, 2), link(77, 2, score=0.9))
    assert groups(ledger) == {2: [head(2), link(5, 2)]}
    group(ledger, head(77), link(3, 77))
    assert groups(ledger) == {2: [head(2), link(5, 2)]}


def test_members_outside_the_rows_are_refused(ledger):
    for rows, members in (
        ([1], [head(1), link(2, 1)]),
        ([1, 2], [head(1), link(2, 1), link(2, 1)]),
        ([1, 2], [CopyMember(1, -1, is_canonical=True), link(2, 1)]),
    ):
        with pytest.raises(StoreError):
            ledger.replace(rows, members)
    assert groups(ledger) == {}


def test_a_removed_image_leaves_its_group(ledger, catalog):
    group(ledger, head(2), link(5, 2), link(6, 2, via=5), link(7, 2, score=0.75))
    catalog.remove([key(5)])
    assert groups(ledger) == {2: [head(2), link(7, 2, score=0.75), link(6, 2, via=2)]}
    catalog.remove([key(2)])
    assert groups(ledger) == {2: [head(7, 2), link(6, 2, via=7)]}
    catalog.remove([key(7)])
    assert groups(ledger) == {}
    assert groups_of(ledger, 2, 5, 6, 7) == [-1] * 4
    assert catalog.records([6])[0].copy_group is None


def test_an_image_that_loses_its_last_place_leaves_its_group(ledger, catalog):
    group(ledger, head(2), link(5, 2))
    catalog.commit(Batch(sources=[(key(0), Source("/2", seen=2.0))]))
    assert groups(ledger) == {}
    fill(catalog, [IMAGES + 1])
    group(ledger, head(5), link(IMAGES + 1, 5))
    catalog.commit(Batch(forgotten=["/5", f"/{IMAGES + 1}"]))
    assert groups(ledger) == {}


def test_an_image_that_comes_back_is_in_no_group(ledger, catalog):
    group(ledger, head(2), link(5, 2), link(6, 2))
    catalog.remove([key(5)])
    catalog.commit(
        Batch(
            [NewImage(Row(IMAGES), ImageFacts(key(5), 4, 3, 9, "png"))],
            [(key(5), Source("/5", seen=1.0))],
        )
    )
    (row,) = catalog.rows_of([key(5)]).values()
    assert groups_of(ledger, 2, row) == [2, -1]


def test_changes_of_an_image_leave_its_group(ledger, catalog):
    group(ledger, head(2), link(5, 2))
    catalog.commit(Batch(sources=[(key(5), Source("/5b", caption="new", seen=2.0))]))
    assert groups(ledger) == {2: [head(2), link(5, 2)]}


def test_how_far_the_log_was_placed_is_remembered(place, ledger, opened):
    ledger.replace([], [], seq=4)
    group(ledger, head(2), link(5, 2))
    expected = 0 if place.keeps_rows else 4
    assert ledger.seq == opened(is_writer=False).copies.seq == expected


def test_readers_see_changes_at_their_next_call(ledger, opened):
    reader = opened(is_writer=False).copies
    assert groups_of(reader, 2, 5) == [-1, -1]
    group(ledger, head(2), link(5, 2))
    assert groups_of(reader, 2, 5, 1) == [2, 2, -1]
    ledger.replace([5], [])
    assert groups_of(reader, 2, 5, 1) == [-1, -1, -1]


def test_readers_cannot_write(opened, catalog):
    reader = opened(is_writer=False).copies
    with pytest.raises(StoreError):
        group(reader, head(2), link(5, 2))
    with pytest.raises(StoreError):
        reader.decide(CopyStep(1, "split", (1, 2)), [])
    with pytest.raises(StoreError):
        reader.undo()


def test_many_rows_at_once(ledger, catalog):
    rows = range(IMAGES, IMAGES + 600)
    fill(catalog, rows)
    members = [head(rows[0]), *(link(row, rows[0]) for row in rows[1:])]
    group(ledger, *members)
    found = ledger.groups_of(np.arange(1000, dtype=np.int64))
    assert found[IMAGES : IMAGES + 600].tolist() == [rows[0]] * 600
    assert set(found[:IMAGES].tolist()) | set(found[IMAGES + 600 :].tolist()) == {-1}
    assert ledger.counts() == (1, 600)
    assert len(ledger.members([rows[0]])[rows[0]]) == 600


placings = st.lists(
    st.tuples(
        st.lists(st.integers(0, IMAGES - 1), min_size=1, max_size=4, unique=True),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("seed", [0])
def test_any_regrouping_leaves_groups_that_can_be(place, seed):
    @settings(
        max_examples=place.examples,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        deadline=None,
    )
    @given(placings, st.lists(st.integers(0, IMAGES - 1), max_size=2))
    def check(steps, removed):
        place.fresh()
        catalog = place.open()
        fill(catalog)
        for rows, number, has_head in steps:
            chosen = [head(rows[0], number) if has_head else link(rows[0], number)]
            chosen += [link(row, number, via=rows[0]) for row in rows[1:]]
            catalog.copies.replace(rows, chosen)
            groups(catalog.copies)
        catalog.remove([key(row) for row in removed])
        for members in groups(catalog.copies).values():
            assert not {one.row for one in members} & set(removed)
        catalog.close()

    check()


# ── What people decide ───────────────────────────────────────────────────────────────────


def apart(first, second, decided=5.0):
    return CopyDecision(first, second, "different", decided)


def alike(first, second, decided=6.0):
    return CopyDecision(first, second, "same", decided)


def test_decisions_are_found_from_either_image(ledger, opened):
    ledger.decide(CopyStep(1, "split", (1, 2, 3), at=5.0), [apart(1, 2), apart(2, 3)])
    assert list(ledger.decisions([1])) == [apart(1, 2)]
    assert list(ledger.decisions([3, 7])) == [apart(2, 3)]
    assert list(opened(is_writer=False).copies.decisions([2])) == [apart(1, 2), apart(2, 3)]
    assert list(ledger.decisions([0, 99])) == []


def test_a_later_decision_replaces_an_earlier_one_and_is_undone(ledger):
    first, second = CopyStep(1, "split", (1, 2), at=5.0), CopyStep(2, "merge", (1, 2), at=6.0)
    ledger.decide(first, [apart(1, 2)])
    ledger.decide(second, [alike(1, 2), alike(2, 3)])
    assert list(ledger.decisions([1, 2])) == [alike(1, 2), alike(2, 3)]
    assert list(ledger.steps()) == [second, first]
    assert list(ledger.steps(limit=1)) == [second]
    assert ledger.undo() == second
    assert list(ledger.decisions([1, 2, 3])) == [apart(1, 2)]
    assert list(ledger.steps()) == [first]
    assert ledger.undo() == first
    assert list(ledger.decisions([1, 2, 3])) == []
    assert ledger.undo() is None


def test_one_of_the_images_of_an_act_is_kept(ledger):
    ledger.decide(CopyStep(1, "keep", (1, 2, 3), kept=2), [])
    ledger.decide(CopyStep(2, "keep", (5, 6), kept=6), [])
    assert ledger.kept(range(IMAGES)) == {2, 6}
    ledger.decide(CopyStep(3, "keep", (1, 2, 3), kept=3), [])
    assert ledger.kept([1, 2, 3]) == {3}
    assert ledger.undo().kept == 3
    assert ledger.kept(range(IMAGES)) == {2, 6}
    ledger.decide(CopyStep(3, "split", (1, 2)), [apart(1, 2)])
    assert ledger.kept([1, 2, 3]) == {2}
    ledger.undo()
    ledger.undo()
    ledger.undo()
    assert ledger.kept(range(IMAGES)) == frozenset()


def test_a_number_that_is_taken_gives_way_to_the_next(ledger):
    for at in (1.0, 2.0):
        ledger.decide(CopyStep(1, "split", (1, 2), at=at), [apart(1, 2)])
    assert [(step.number, step.at) for step in ledger.steps()] == [(2, 2.0), (1, 1.0)]


def test_decisions_that_speak_of_no_pair_are_refused(ledger):
    for wrong in (apart(2, 1), apart(1, 1), CopyDecision(1, 2, "perhaps")):
        with pytest.raises(StoreError):
            ledger.decide(CopyStep(1, "split", (1, 2)), [wrong])
    assert list(ledger.steps()) == []


def test_decisions_outlive_groups_and_images_that_come_back(place, ledger, catalog):
    group(ledger, head(1), link(2, 1))
    ledger.decide(CopyStep(1, "split", (1, 2), kept=2), [apart(1, 2)])
    ledger.replace([1, 2], [])
    catalog.remove([key(1), key(2)])
    images = [
        NewImage(
            Row(row if place.keeps_rows else IMAGES + at), ImageFacts(key(row), 4, 3, 9, "png")
        )
        for at, row in enumerate((2, 1))
    ]
    catalog.commit(Batch(images, [(key(1), Source("/1")), (key(2), Source("/2"))]))
    rows = catalog.rows_of([key(1), key(2)])
    (found,) = ledger.decisions([rows[key(1)]])
    assert {found.first, found.second} == set(rows.values())
    assert found.first < found.second
    assert (found.verdict, found.decided) == ("different", 5.0)
    assert ledger.kept(list(rows.values())) == {rows[key(2)]}
    assert set(ledger.undo().rows) == set(rows.values())
    assert list(ledger.decisions(list(rows.values()))) == []


def test_decisions_of_another_index_fill_gaps_only(ledger):
    ledger.decide(CopyStep(1, "split", (1, 2)), [apart(1, 2)])
    ledger.adopt([alike(1, 2), alike(2, 3)], [3])
    assert list(ledger.decisions([2])) == [apart(1, 2), alike(2, 3)]
    assert ledger.kept([1, 2, 3]) == {3}
    assert [step.number for step in ledger.steps()] == [1]
