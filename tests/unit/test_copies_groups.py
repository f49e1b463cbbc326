"""Groups of copies: the same whatever the order, and never against a person's word."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.copy_groups import (
    BY_A_PERSON,
    CopyLink,
    CopyTraits,
    PersonSaid,
    choose_canonical,
    hang,
    join_links,
)


def link(first, second, score=0.9, **more):
    return CopyLink(first, second, "same picture", score, **more)


def apart(first, second, decided=1.0):
    return PersonSaid(first, second, is_same=False, decided=decided)


def same(first, second, decided=1.0):
    return PersonSaid(first, second, is_same=True, decided=decided)


rows = st.integers(0, 9)
pairs = st.tuples(rows, rows).filter(lambda pair: pair[0] != pair[1])
links = st.lists(
    st.builds(
        lambda pair, score, larger: link(*pair, score, larger=pair[larger], shown=0.5 + larger / 2),
        pairs,
        st.sampled_from([0.5, 0.7, 0.9]),
        st.integers(0, 1),
    ),
    max_size=20,
)
words = st.lists(
    st.builds(
        lambda pair, is_same, at: PersonSaid(*pair, is_same, at),
        pairs,
        st.booleans(),
        st.integers(1, 5),
    ),
    max_size=6,
    unique_by=lambda said: frozenset((said.first, said.second)),
)


def test_links_chain_and_strangers_stay_out():
    assert join_links([link(1, 2), link(2, 3), link(7, 8)]) == [[1, 2, 3], [7, 8]]
    assert join_links([]) == []


@given(links, words, st.randoms(use_true_random=False))
def test_order_changes_nothing(found, said, rng):
    expected = join_links(found, said)
    found, said = found.copy(), said.copy()
    rng.shuffle(found)
    rng.shuffle(said)
    assert join_links(found, said) == expected


@given(links, words)
def test_what_is_apart_stays_apart_unless_a_later_word_joined_it(found, said):
    group_of = {row: n for n, group in enumerate(join_links(found, said)) for row in group}
    for word in said:
        if word.is_same or any(other.is_same for other in said):
            continue
        assert group_of.get(word.first, -1) != group_of.get(word.second, -2)


@given(links)
def test_every_group_is_held_together_by_links(found):
    for group in join_links(found):
        assert len(group) > 1
        members = hang(group[0], group, found)
        assert sorted(member.row for member in members) == group
        assert members[0].via == -1
        hung = {members[0].row}
        waiting = members[1:]
        while waiting:
            ready = [member for member in waiting if member.via in hung]
            assert ready
            hung |= {member.row for member in ready}
            waiting = [member for member in waiting if member.row not in hung]
        assert all(member.reason != BY_A_PERSON for member in members)


def test_a_person_parts_what_a_chain_would_join():
    chain = [link(1, 2, 0.9), link(2, 3, 0.8)]
    assert join_links(chain, [apart(1, 3)]) == [[1, 2]]
    assert join_links(chain, [apart(3, 1)]) == [[1, 2]]
    assert join_links([link(1, 2, 0.7), link(2, 3, 0.8)], [apart(1, 3)]) == [[2, 3]]


def test_a_person_joins_what_no_link_does():
    assert join_links([], [same(4, 5)]) == [[4, 5]]
    members = hang(4, [4, 5], [])
    assert (members[1].via, members[1].reason) == (4, BY_A_PERSON)


def test_the_later_word_holds():
    said = [same(1, 2, 1), same(2, 3, 2), apart(1, 3, 3)]
    assert join_links([], said) == [[2, 3]]
    assert join_links([], [same(1, 2, 3), same(2, 3, 2), apart(1, 3, 1)]) == [[1, 2, 3]]


def test_constraints_survive_joins():
    """2 may not be with 9: neither may anything that was joined with 2 before or after."""
    found = [link(1, 2, 0.99), link(1, 3, 0.98), link(8, 9, 0.97), link(3, 8, 0.5)]
    assert join_links(found, [apart(2, 9)]) == [[1, 2, 3], [8, 9]]


def test_standing_groups_stay_whole_unless_a_person_parts_them():
    assert join_links([link(3, 4)], standing=[[1, 2], [2, 3]]) == [[1, 2, 3, 4]]
    assert join_links([], [apart(1, 2)], standing=[[1, 2, 3]]) == [[1, 3]]


def test_a_collage_does_not_make_one_picture_of_two():
    halves = [link(1, 9, 0.9, larger=9, shown=0.5), link(2, 9, 0.8, larger=9, shown=0.5)]
    assert join_links([*halves, link(2, 3)]) == [[1, 9], [2, 3]]
    large_crops = [link(1, 9, larger=9, shown=0.7), link(2, 9, larger=9, shown=0.7)]
    assert join_links(large_crops) == [[1, 2, 9]]
    framed = [
        link(1, 9, larger=9, shown=0.5, is_bordered=True),
        link(2, 9, larger=9, shown=0.5, is_bordered=True),
    ]
    assert join_links(framed) == [[1, 2, 9]]


@pytest.mark.parametrize(
    ("traits", "links_", "kept", "expected"),
    [
        ({1: CopyTraits(100), 2: CopyTraits(400)}, [], [], 2),
        ({1: CopyTraits(100), 2: CopyTraits(400)}, [], [1], 1),
        ({1: CopyTraits(100, bytes=50), 2: CopyTraits(100, bytes=90)}, [], [], 2),
        ({1: CopyTraits(100, seen=9), 2: CopyTraits(100, seen=3)}, [], [], 2),
        ({1: CopyTraits(100), 2: CopyTraits(100)}, [], [], 1),
        ({1: CopyTraits(100, 90), 2: CopyTraits(100)}, [link(1, 2, larger=2, shown=0.8)], [], 2),
        (
            {1: CopyTraits(100), 2: CopyTraits(150)},
            [link(1, 2, larger=2, shown=0.7, is_bordered=True)],
            [],
            1,
        ),
        ({1: CopyTraits(100), 2: CopyTraits(200)}, [link(1, 2, larger=2, shown=0.5)], [], 1),
    ],
    ids=["pixels", "kept", "bytes", "earliest", "row", "uncropped", "border", "collage"],
)
def test_the_best_picture_stands_for_its_group(traits, links_, kept, expected):
    orders = [list(traits), list(reversed(list(traits)))]
    assert {choose_canonical(group, traits, links_, kept) for group in orders} == {expected}


def test_images_hang_by_their_surest_link():
    found = [link(1, 2, 0.6), link(1, 3, 0.9), link(2, 3, 0.8)]
    random.Random(0).shuffle(found)
    members = hang(1, [1, 2, 3], found)
    assert [(m.row, m.via, m.score) for m in members] == [(1, -1, 1.0), (3, 1, 0.9), (2, 3, 0.8)]
