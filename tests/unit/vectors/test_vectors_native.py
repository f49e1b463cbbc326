"""The layer over Faiss."""

import numpy as np
import pytest

from lookalike.adapters.vectors_native import CodeIndex


def unit(count, *, seed=0, dim=16):
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("cells", [1, 7, 1200])
def test_codes_find_candidates_with_few_cells_and_with_many(tmp_path, cells):
    vectors = unit(6000)
    codes = CodeIndex.train(vectors, cells=cells, seed=1, threads=1)
    assert 0.9 * cells <= codes.cells <= 1.1 * cells
    codes.add(vectors, np.arange(1000, 7000))
    path = tmp_path / "codes.faiss"
    path.write_bytes(codes.to_bytes())
    again = CodeIndex.from_file(str(path))
    assert (len(again), again.dim, again.cells) == (6000, 16, codes.cells)
    found = again.search(vectors[:50], count=60, probes=cells)
    assert (found == np.arange(1000, 1050)[:, None]).any(axis=1).mean() > 0.95
    mask = np.zeros(7000, bool)
    mask[1000:1010] = True
    allowed = again.search(vectors[:1], count=60, probes=10**6, mask=mask)
    assert set(allowed.ravel().tolist()) == {-1, *range(1000, 1010)}


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "foreign.faiss"
    path.write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(RuntimeError):
        CodeIndex.from_file(str(path))
