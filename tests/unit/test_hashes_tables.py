"""Multi-index hashing: its arithmetic, and its tables beside comparing everything."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.hashes_balls import (
    ball,
    ball_size,
    best_count,
    look_ns,
    scan_ns,
    spread,
    thresholds,
    widths,
)
from lookalike.adapters.hashes_tables import HashTables, scanned

HASHES = st.integers(0, 2**64 - 1)


@given(st.integers(3, 8), st.integers(0, 64))
def test_no_hash_within_the_radius_lies_beyond_every_threshold(count, radius):
    reaches = thresholds(count, radius)
    assert sum(reach + 1 for reach in reaches) == radius + 1
    assert min(reaches) >= -1
    assert max(reaches) - min(reaches) <= 1
    assert sum(widths(count)) == 64


@pytest.mark.parametrize(("width", "reach"), [(5, 0), (9, 2), (13, 3), (4, 9)])
def test_a_ball_holds_every_near_difference_once(width, reach):
    found = ball(width, reach).tolist()
    assert sorted(found) == [v for v in range(1 << width) if v.bit_count() <= reach]
    assert len(found) == ball_size(width, reach) == sum(comb(width, k) for k in range(reach + 1))
    assert ball_size(width, -1) == 0


@given(st.lists(HASHES, min_size=2, max_size=6))
def test_the_order_of_bits_keeps_distances(hashes):
    array = np.asarray(hashes, np.uint64)
    moved = spread(array)
    before = np.bitwise_count(array[:, None] ^ array)
    assert np.array_equal(np.bitwise_count(moved[:, None] ^ moved), before)
    many = spread(np.resize(array, 5000))
    assert np.array_equal(many, np.resize(moved, 5000))


def test_every_bit_has_a_place_of_its_own():
    single = np.uint64(1) << np.arange(64, dtype=np.uint64)
    assert sorted(spread(single).tolist()) == single.tolist()


def sorted_triples(found):
    return sorted(
        zip(found.queries.tolist(), found.places.tolist(), found.distances.tolist(), strict=True)
    )


@pytest.mark.parametrize("substrings", range(3, 9))
def test_tables_find_what_comparing_everything_finds(substrings):
    rng = np.random.default_rng(substrings)
    values = np.unique(rng.integers(0, 2**64, 3000, dtype=np.uint64))
    near = values[:40].copy()
    for _ in range(9):
        near ^= np.uint64(1) << rng.integers(0, 64, 40, dtype=np.uint64)
    queries = np.concatenate((near, values[-3:], np.asarray([0, 2**64 - 1], np.uint64)))
    tables = HashTables.build(values, substrings)
    assert np.array_equal(tables.values, values)
    for radius in (0, 1, 2, 5, 8, 10):
        whole = sorted_triples(scanned(values, queries, radius))
        assert sorted_triples(tables.looked_up(queries, radius)) == whole
        alone = [
            (at, place, distance)
            for at, query in enumerate(queries)
            for _, place, distance in sorted_triples(tables.looked_up(query[None], radius))
        ]
        assert alone == whole


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_the_filled_up_line_is_found_once(count):
    values = np.arange(count, dtype=np.uint64) + np.uint64(2**64 - count)
    tables = HashTables.build(values, 3)
    found = tables.looked_up(values[-1:], 5)
    assert sorted_triples(found) == sorted_triples(scanned(values, values[-1:], 5))


@pytest.mark.parametrize("queries", [1, 2, 30])
def test_crowded_buckets_are_searched_in_pieces_or_given_up(queries):
    rng = np.random.default_rng(7)
    crowd = np.arange(60_000, dtype=np.uint64)  # some tables hold nearly all in a few buckets
    values = np.unique(spread(np.concatenate((crowd, rng.integers(0, 2**64, 60_000, np.uint64)))))
    tables = HashTables.build(values, 3)
    wanted = spread(np.arange(12_345, 12_345 + queries, dtype=np.uint64))
    for radius in (2, 4):
        whole = sorted_triples(scanned(values, wanted, radius))
        assert sorted_triples(tables.looked_up(wanted, radius)) == whole


def test_more_hashes_take_fewer_substrings_and_little_more_time():
    counts = [best_count(10**power) for power in range(4, 9)]
    assert counts == sorted(counts, reverse=True)
    times = [look_ns(best_count(10**power), 10, 10**power) for power in range(5, 9)]
    assert all(later < 5 * sooner for sooner, later in pairwise(times))
    assert look_ns(3, 10, 10**8) < scan_ns(10**8) / 50
    assert look_ns(3, 40, 10**6) > scan_ns(10**6)
