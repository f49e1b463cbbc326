"""Reading single rows of the mapped matrix."""

import numpy as np
import pytest

from lookalike.adapters.vectors_matrix import MatrixWriter, RowReader, map_matrix


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
