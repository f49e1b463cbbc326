"""Cursors: what goes in comes out, and nothing else is taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import CursorError
from lookalike.engine.cursor import (
    DeepCursor,
    ListingCursor,
    RankedCursor,
    decode_cursor,
    encode_cursor,
    fingerprint,
)
from lookalike.ports.filters import Place

OWNER = fingerprint("index", "query")


@given(st.lists(st.integers(0, 2**40), max_size=300, unique=True), st.integers(0, 400))
def test_rankings_round_trip(rows, offset):
    scores = np.linspace(1, 0, len(rows), dtype=np.float32)
    given_cursor = RankedCursor(np.array(rows, np.int64), scores, offset, len(rows))
    read = decode_cursor(encode_cursor(given_cursor, OWNER), OWNER)
    assert isinstance(read, RankedCursor)
    assert read.rows.tolist() == rows[offset:]
    assert read.scores == pytest.approx(scores[offset:], abs=1e-3)
    assert read.total == len(rows)


@given(st.sets(st.integers(0, 2**62)), st.sets(st.integers(0, 2**62), max_size=5), st.floats(-1, 1))
def test_places_behind_a_ranking_round_trip(seen, edge, last):
    rows = [np.array(sorted(one), np.int64) for one in (seen, edge)]
    cursor = DeepCursor(last, 0.5, *rows, given=2000, total=700, horizon=(1 << 63) - 1)
    read = decode_cursor(encode_cursor(cursor, OWNER), OWNER)
    assert isinstance(read, DeepCursor)
    assert (read.seen.tolist(), read.edge.tolist()) == (sorted(seen), sorted(edge))
    assert (read.last, read.floor, read.given, read.total) == (last, 0.5, 2000, 700)
    assert read.horizon == cursor.horizon


def test_what_a_ranking_gave_before_travels_with_it():
    rows = np.arange(50)
    cursor = RankedCursor(rows, np.zeros(50, np.float32), 20, 50, np.arange(20), horizon=90)
    read = decode_cursor(encode_cursor(cursor, OWNER), OWNER)
    assert isinstance(read, RankedCursor)
    assert (read.seen.tolist(), read.horizon) == (list(range(20)), 90)


def test_listings_round_trip():
    cursor = ListingCursor(Place(1.5, 12345678901), total=7)
    assert decode_cursor(encode_cursor(cursor, OWNER), OWNER) == cursor


def test_a_full_ranking_fits_a_url():
    rng = np.random.default_rng(0)
    rows = rng.permutation(10_000_000)[:1000].astype(np.int64)
    cursor = RankedCursor(rows, np.linspace(1, 0, 1000, dtype=np.float32), 20, 1000)
    assert len(encode_cursor(cursor, OWNER)) < 7000


def test_another_query_is_refused():
    text = encode_cursor(ListingCursor(Place(0.0, 5), 5), OWNER)
    with pytest.raises(CursorError, match="another query"):
        decode_cursor(text, fingerprint("index", "other"))


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    with pytest.raises(CursorError):
        decode_cursor(text, OWNER)


@given(st.binary(max_size=60), st.integers(0, 25))
def test_damaged_cursors_are_refused_or_differ(noise, at):
    whole = encode_cursor(RankedCursor(np.arange(50), np.zeros(50, np.float32), 0, 50), OWNER)
    damaged = whole[:at] + noise.hex() + whole[at:]
    if damaged == whole:
        return
    try:
        decode_cursor(damaged, OWNER)
    except CursorError:
        pass
