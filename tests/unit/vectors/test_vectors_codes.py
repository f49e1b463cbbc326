"""Codes of residuals: their file, what they find, what becomes of a damaged file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lookalike.adapters.vectors_allowed import AllowedRows
from lookalike.adapters.vectors_build import build_codes
from lookalike.adapters.vectors_codes import pack_blocks, unpack_blocks
from lookalike.adapters.vectors_codes_file import read_codes_file
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_native import load_faiss
from lookalike.adapters.vectors_probing import Probing, Sieve
from lookalike.adapters.vectors_settings import VectorSettings

SETTINGS = VectorSettings(rows_per_cell=8)


def unit(count, *, seed=0, dim=16):
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def part(vectors, *, begin=0, live=None):
    live = np.ones(len(vectors), bool) if live is None else live
    return SegmentRows(vectors.astype(np.float16), begin, live)


def every_cell(codes):
    return Probing(codes.cells, 0.5)


@settings(max_examples=30)
@given(
    st.integers(1, 4).flatmap(
        lambda pairs: arrays.arrays(
            np.uint8, st.tuples(st.integers(0, 3), st.just(32), st.just(pairs))
        )
    )
)
def test_blocks_are_unpacked_as_they_were(codes):
    assert (unpack_blocks(pack_blocks(codes), codes.shape[2]) == codes).all()


def test_blocks_are_packed_as_the_scan_wants_them():
    faiss = load_faiss()
    index = faiss.IndexPQFastScan(16, 8, 4)
    vectors = unit(64)
    index.train(vectors)
    index.add(vectors)
    codes = index.pq.compute_codes(vectors).reshape(2, 32, -1)
    expected = faiss.rev_swig_ptr(index.codes.get(), 2 * 32 * 4)
    assert (pack_blocks(codes).ravel() == expected).all()


@pytest.mark.parametrize("dim", [1, 2, 7, 16, 200])
def test_codes_find_candidates_at_every_width(tmp_path, dim):
    vectors = unit(900, dim=dim)
    live = np.arange(900) % 9 != 0
    codes = build_codes(part(vectors, begin=50, live=live), SETTINGS, tmp_path / "a.faiss")
    assert (codes.dim, len(codes)) == (dim, 800)
    found = codes.search(vectors[1:9], every_cell(codes), count=800)
    assert (np.sort(found, axis=1) == 50 + np.flatnonzero(live)).all()
    if dim > 2:
        near = codes.search(vectors[1:9], every_cell(codes), count=40)
        assert (near == 50 + np.arange(1, 9)[:, None]).any(axis=1).all()


def test_only_allowed_rows_are_found_and_missing_ones_are_padding(tmp_path):
    codes = build_codes(part(unit(600)), SETTINGS, tmp_path / "a.faiss")
    mask = np.zeros(600, bool)
    mask[100:110] = True
    found = codes.search(
        unit(1, seed=3), every_cell(codes), count=60, sieve=Sieve(AllowedRows.of(mask).bits)
    )
    assert set(found.ravel().tolist()) == {-1, *range(100, 110)}


def test_every_code_is_known_with_its_row_and_cell(tmp_path):
    vectors = unit(700)
    codes = build_codes(part(vectors, begin=7), SETTINGS, tmp_path / "a.faiss")
    coded = codes.coded()
    assert sorted(coded.rows.tolist()) == list(range(7, 707))
    assert (np.bincount(coded.owners, minlength=codes.cells) == codes.sizes).all()
    residuals = vectors[coded.rows - 7].astype(np.float16) - codes.centroids()[coded.owners]
    again = codes.coder.encode(residuals.astype(np.float32), threads=1)
    assert (coded.codes == again).mean() > 0.999
    assert codes.owners(np.asarray([6, 7])).tolist()[0] == -1


@pytest.mark.parametrize("spread", [0.02, 0.2, 0.5])
def test_cells_are_ranked_by_likelihood_and_their_products_are_exact(tmp_path, spread):
    codes = build_codes(part(unit(900)), SETTINGS, tmp_path / "a.faiss")
    queries = unit(5, seed=2)
    cells, products = codes.rank(queries, Probing(6, spread))
    exact = queries @ codes.centroids().T
    likely = exact + spread * (1 - codes.norms)
    np.testing.assert_allclose(products, np.take_along_axis(exact, cells, axis=1), atol=1e-4)
    best = -np.sort(-likely, axis=1)[:, :6]
    np.testing.assert_allclose(np.take_along_axis(likely, cells, axis=1), best, atol=1e-4)


def test_equal_vectors_are_coded(tmp_path):
    vectors = np.repeat(unit(1), 300, axis=0)
    codes = build_codes(part(vectors), SETTINGS, tmp_path / "a.faiss")
    assert len(codes) == 300
    assert (codes.search(vectors[:1], every_cell(codes), count=300) >= 0).all()


@pytest.mark.parametrize("damage", ["short", "foreign", "array", "directory", "format", "empty"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "a.faiss"
    build_codes(part(unit(300)), SETTINGS, path)
    data = bytearray(path.read_bytes())
    if damage == "short":
        data = data[:-40]
    elif damage == "foreign":
        data = bytearray(b"nothing of the kind" * 500)
    elif damage == "array":
        data[-1500] ^= 1
    elif damage == "directory":
        data[-40] ^= 1
    elif damage == "format":
        data[-16] = 9
    else:
        data = bytearray()
    path.write_bytes(data)
    with pytest.raises(ValueError, match="codes"):
        read_codes_file(str(path))


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("lookalike.adapters.vectors_cells._ONE_LEVEL", 20)
    rows = part(unit(4_000))
    whole = build_codes(rows, SETTINGS, tmp_path / "whole.faiss")
    counts = {"full": 0, "again": 0}
    from lookalike.adapters import vectors_cells

    true_kmeans = vectors_cells.kmeans

    def dying(sample, cells, *, seed, threads):
        counts["full"] += 1
        if counts["full"] > 9:
            raise KeyboardInterrupt
        return true_kmeans(sample, cells, seed=seed, threads=threads)

    monkeypatch.setattr(vectors_cells, "kmeans", dying)
    with pytest.raises(KeyboardInterrupt):
        build_codes(rows, SETTINGS, tmp_path / "again.faiss")
    assert (tmp_path / "cells.checkpoint").exists()

    def counted(sample, cells, *, seed, threads):
        counts["again"] += 1
        return true_kmeans(sample, cells, seed=seed, threads=threads)

    monkeypatch.setattr(vectors_cells, "kmeans", counted)
    again = build_codes(rows, SETTINGS, tmp_path / "again.faiss")
    assert not (tmp_path / "cells.checkpoint").exists()
    np.testing.assert_array_equal(again.centroids(), whole.centroids())
    assert counts["again"] < round(500**0.5)
    other = build_codes(part(unit(3_000)), SETTINGS, tmp_path / "other.faiss")
    assert len(other) == 3_000


def test_what_a_crash_cut_short_is_trained_again(tmp_path):
    from lookalike.adapters.vectors_cells_checkpoint import Checkpoint

    checkpoint = Checkpoint(tmp_path / "cells.checkpoint", {"dim": 4, "rows": 9})
    assert checkpoint.arrays() == []
    checkpoint.append(np.ones((3, 4), np.float32))
    checkpoint.append(np.ones((2, 4), np.float32))
    with (tmp_path / "cells.checkpoint").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 5)
    assert [len(array) for array in checkpoint.arrays()] == [3]
    checkpoint.append(np.zeros((1, 4), np.float32))
    assert [len(array) for array in checkpoint.arrays()] == [3, 1]
    assert Checkpoint(checkpoint.path, {"dim": 4, "rows": 10}).arrays() == []


@pytest.mark.parametrize(("rows", "cells"), [(400, 50), (4_096, 256), (1, 1)])
def test_there_is_a_cell_for_some_rows_but_no_more_than_the_root_allows(tmp_path, rows, cells):
    few = VectorSettings(rows_per_cell=8, cells_per_root=4)
    assert build_codes(part(unit(rows)), few, tmp_path / "x.faiss").cells == cells
