"""Cells are taken over while new rows fit them, and trained anew when they do not."""

import numpy as np
import pytest

from lookalike.adapters.vectors_build import build_codes
from lookalike.adapters.vectors_drift import measure_drift, unevenness
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_probing import Probing
from lookalike.adapters.vectors_settings import VectorSettings

SETTINGS = VectorSettings(rows_per_cell=16)
DIM = 32


def clusters(count, *, seed, centres):
    generator = np.random.default_rng(seed)
    middles = np.random.default_rng(centres).standard_normal((40, DIM))
    vectors = middles[generator.integers(0, 40, count)]
    vectors = vectors + 0.4 * generator.standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def part(vectors, live=None):
    live = np.ones(len(vectors), bool) if live is None else live
    return SegmentRows(vectors.astype(np.float16), 0, live)


def share_found(codes, vectors, queries, share):
    """Return which share of the true ten stand in the likeliest cells with so many codes."""
    truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    probes = max(1, round(share * codes.cells))
    found = codes.search(queries, Probing(probes, 0.4), count=len(codes) // 4)
    scanned = np.mean(codes.sizes[codes.rank(queries, Probing(probes, 0.4))[0]].sum(axis=1))
    kept = [np.isin(want, have).mean() for want, have in zip(truth, found, strict=True)]
    return float(np.mean(kept)), float(scanned) / len(codes)


def test_rows_of_the_same_kind_take_the_cells_over(tmp_path):
    vectors = clusters(6_000, seed=1, centres=1)
    first = build_codes(part(vectors[:4_000]), SETTINGS, tmp_path / "first.faiss")
    second = build_codes(part(vectors), SETTINGS, tmp_path / "second.faiss", [first])
    assert second.figure("inherited") == 4_000
    np.testing.assert_array_equal(second.centroids(), first.centroids())
    before, after = first.coded(), second.coded()
    order, known = np.argsort(before.rows), np.argsort(after.rows)[:4_000]
    np.testing.assert_array_equal(before.codes[order], after.codes[known])


def test_removed_rows_leave_a_segment_that_is_taken_over(tmp_path):
    vectors = clusters(4_000, seed=1, centres=1)
    first = build_codes(part(vectors), SETTINGS, tmp_path / "first.faiss")
    live = np.arange(4_000) % 3 != 0
    second = build_codes(part(vectors, live), SETTINGS, tmp_path / "second.faiss", [first])
    assert second.figure("inherited") == live.sum()
    assert sorted(second.coded().rows.tolist()) == np.flatnonzero(live).tolist()


def test_rows_of_another_kind_have_cells_trained_anew_and_are_found(tmp_path, monkeypatch):
    old, new = clusters(4_000, seed=1, centres=1), clusters(3_000, seed=2, centres=99)
    vectors, queries = np.concatenate((old, new)), clusters(60, seed=3, centres=99)
    first = build_codes(part(old), SETTINGS, tmp_path / "first.faiss")
    anew = build_codes(part(vectors), SETTINGS, tmp_path / "anew.faiss", [first])
    with pytest.raises(KeyError):
        anew.figure("inherited")
    monkeypatch.setattr("lookalike.adapters.vectors_drift.MOST_ERROR", 1e9)
    monkeypatch.setattr("lookalike.adapters.vectors_drift.MOST_CROWDING", 1e9)
    stale = build_codes(part(vectors), SETTINGS, tmp_path / "stale.faiss", [first])
    assert stale.figure("inherited") == 4_000
    found, scanned = share_found(anew, vectors, queries, 0.02)
    found_stale, scanned_stale = share_found(stale, vectors, queries, 0.02)
    assert found / scanned > found_stale / scanned_stale


def test_a_segment_that_doubled_is_trained_anew(tmp_path):
    vectors = clusters(8_000, seed=1, centres=1)
    first = build_codes(part(vectors[:4_100]), SETTINGS, tmp_path / "first.faiss")
    small = VectorSettings(rows_per_cell=4)
    assert (
        "inherited"
        not in build_codes(part(vectors), small, tmp_path / "second.faiss", [first])._file.figures
    )


def test_drift_is_one_without_any():
    sizes = np.full(100, 40)
    generator = np.random.default_rng(0)
    distances, owners = np.full(2_000, 0.5), generator.integers(0, 100, 2_000)
    drift = measure_drift(distances, owners, trained_error=0.5, sizes=sizes)
    assert drift.error == 1
    assert drift.crowding == pytest.approx(1, abs=0.05)
    assert not drift.is_past_bounds
    assert measure_drift(2 * distances, owners, trained_error=0.5, sizes=sizes).is_past_bounds
    assert measure_drift(distances, owners // 4, trained_error=0.5, sizes=sizes).is_past_bounds
    assert not measure_drift(
        distances[:0], owners[:0], trained_error=0.5, sizes=sizes
    ).is_past_bounds
    assert unevenness(sizes) == 1
