"""Reading single rows of the mapped matrix."""

import numpy as np
import pytest

from lookalike.adapters import vectors_erase
from lookalike.adapters.vectors_erase import disk_bytes, punch_hole
from lookalike.adapters.vectors_matrix import MatrixWriter, RowReader, map_matrix
from lookalike.domain.errors import StoreError


@pytest.mark.parametrize("is_scattered", [True, False])
@pytest.mark.parametrize("is_cold", [True, False])
def test_rows_are_read_as_they_stand(tmp_path, is_scattered, is_cold):
    vectors = np.random.default_rng(0).standard_normal((3000, 40)).astype(np.float32)
    path = tmp_path / "matrix.f16"
    writer = MatrixWriter(path, dim=40, rows=0)
    writer.write(np.arange(3000), vectors)
    writer.close()
    matrix = map_matrix(path, dim=40, rows=3000, is_scattered=is_scattered)
    rows = np.asarray([0, 1, 51, 1234, 2999])
    expected = vectors.astype(np.float16)
    assert (RowReader(is_cold=is_cold).read(matrix, rows) == expected[rows]).all()
    part = matrix[100:2000]
    rows = np.asarray([0, 7, 1899])
    assert (RowReader(is_cold=is_cold).read(part, rows) == expected[100 + rows]).all()


def test_rows_in_memory_are_read_like_mapped_ones():
    matrix = np.arange(12, dtype=np.float16).reshape(4, 3)
    assert (RowReader().read(matrix, np.asarray([1, 3])) == matrix[[1, 3]]).all()


@pytest.mark.parametrize("can_punch", [True, False])
def test_erased_rows_are_zeros_and_their_neighbours_stay(tmp_path, monkeypatch, can_punch):
    if not can_punch:
        monkeypatch.setattr(vectors_erase, "punch_hole", lambda *_: False)
        monkeypatch.setattr(vectors_erase, "_PIECE", 100)
    vectors = np.random.default_rng(0).standard_normal((3000, 40)).astype(np.float32)
    path = tmp_path / "matrix.f16"
    writer = MatrixWriter(path, dim=40, rows=0)
    writer.write(np.arange(3000), vectors)
    mapped = map_matrix(path, dim=40, rows=3000)
    size = path.stat().st_size
    gone = np.r_[0, 5, 100:2900, 2999]
    writer.erase(gone)
    writer.erase(np.zeros(0, np.int64))
    expected = vectors.astype(np.float16)
    expected[gone] = 0
    assert (mapped == expected).all()
    assert path.stat().st_size == size
    writer.write(np.arange(200, 300), vectors[:100])
    expected[200:300] = vectors[:100]
    assert (mapped == expected).all()
    writer.close()


def test_erasing_frees_the_disk_where_it_can(tmp_path):
    path = tmp_path / "matrix.f16"
    writer = MatrixWriter(path, dim=40, rows=0)
    writer.write(np.arange(5000), np.ones((5000, 40), np.float32))
    writer.sync()
    with (tmp_path / "probe").open("wb") as probe:
        probe.write(bytes(8192))
        probe.flush()
        can_punch = punch_hole(probe.fileno(), 0, 4096)
    before = disk_bytes(path)
    assert before == pytest.approx(path.stat().st_size, abs=8192)
    writer.erase(np.arange(1000, 4000))
    writer.sync()
    freed = 3000 * 80 if can_punch else 0  # what a file system without holes cannot give
    assert before - disk_bytes(path) == pytest.approx(freed, abs=8192)
    writer.close()
    assert disk_bytes(tmp_path / "nothing") == 0


def test_an_erasure_that_fails_is_an_error_of_the_store(tmp_path):
    writer = MatrixWriter(tmp_path / "matrix.f16", dim=40, rows=0)
    writer.write(np.arange(10), np.ones((10, 40), np.float32))
    writer.close()
    with pytest.raises(StoreError, match=r"matrix\.f16"):
        writer.erase(np.arange(5))
