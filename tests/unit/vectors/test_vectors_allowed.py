"""What filters let through: worked out once, counted by cell, probed for until it is enough."""

import gc

import numpy as np
import pytest

from lookalike.adapters.vectors_allowed import AllowedCache, AllowedRows
from lookalike.adapters.vectors_build import build_codes
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_probing import Probing, Sieve
from lookalike.adapters.vectors_settings import VectorSettings


def fixed(mask):
    mask = np.asarray(mask, bool)
    mask.flags.writeable = False
    return mask


@pytest.fixture(scope="module")
def vectors():
    generator = np.random.default_rng(4)
    centres = np.repeat(generator.standard_normal((40, 24)), 20, axis=0)
    rows = centres + 0.4 * generator.standard_normal((800, 24))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def codes(vectors, tmp_path_factory):
    part = SegmentRows(vectors.astype(np.float16), 0, np.ones(800, bool))
    path = tmp_path_factory.mktemp("codes") / "a.faiss"
    return build_codes(part, VectorSettings(rows_per_cell=20), path)


def test_a_mask_that_cannot_change_is_worked_out_once():
    cache, mask = AllowedCache(), fixed([True, False, True])
    first = cache.allowed(mask, None, 3)
    assert cache.allowed(mask, None, 3) is first
    assert cache.allowed(fixed([True, False, True]), None, 3) is not first
    assert first.count == 2
    assert cache.allowed(None, None, 3) is None


def test_a_mask_that_may_change_is_worked_out_anew():
    cache, mask = AllowedCache(), np.ones(4, bool)
    assert cache.allowed(mask, None, 4).count == 4
    mask[0] = False
    assert cache.allowed(mask, None, 4).count == 3


def test_rows_that_came_or_went_since_are_seen():
    cache, mask = AllowedCache(), fixed(np.ones(5, bool))
    assert cache.allowed(mask, None, 8).count == 5
    assert cache.allowed(mask, None, 4).count == 4
    assert cache.allowed(mask, fixed([True, *[False] * 4]), 5).count == 4
    assert cache.allowed(None, fixed([True, *[False] * 4]), 5).count == 4


def test_nothing_is_kept_for_masks_that_are_gone():
    cache = AllowedCache()
    for _ in range(50):
        cache.allowed(fixed(np.ones(5, bool)), None, 5)
    gc.collect()
    cache.allowed(fixed(np.ones(5, bool)), None, 5)
    assert len(cache) <= 2


def test_cells_are_counted(codes):
    mask = np.random.default_rng(1).random(800) < 0.3
    allowed = AllowedRows.of(mask)
    owners = codes.owners(np.flatnonzero(mask))
    expected = np.bincount(owners, minlength=codes.cells)
    asked = np.asarray([3, -1, 0, 3])
    for _ in range(2):
        assert allowed.in_cells(codes, asked).tolist() == [expected[3], 0, expected[0], expected[3]]
    assert (allowed.in_cells(codes, np.arange(codes.cells)) == expected).all()


@pytest.mark.parametrize("is_near", [True, False])
def test_cells_are_scanned_until_enough_is_let_through(codes, vectors, is_near):
    query = vectors[:1]
    scores = vectors @ query[0]
    mask = scores >= np.quantile(scores, 0.9) if is_near else scores <= np.quantile(scores, 0.1)
    allowed = AllowedRows.of(mask)
    sieve = Sieve(allowed.bits, lambda cells: allowed.in_cells(codes, cells), wanted=60)
    found = codes.search(query, Probing(2, 0.5), count=800, sieve=sieve)
    rows = found[found >= 0]
    assert mask[rows].all()
    assert 60 <= len(rows) <= 80


def test_every_cell_is_scanned_when_less_is_let_through_than_wanted(codes, vectors):
    allowed = AllowedRows.of(np.arange(800) % 100 == 0)
    sieve = Sieve(allowed.bits, lambda cells: allowed.in_cells(codes, cells), wanted=60)
    found = codes.search(vectors[:2], Probing(1, 0.5), count=20, sieve=sieve)
    for line in found:
        assert sorted(line[line >= 0]) == list(range(0, 800, 100))
