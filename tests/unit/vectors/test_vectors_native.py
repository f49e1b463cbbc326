"""The layer over Faiss."""

import numpy as np
import pytest

from lookalike.adapters import vectors_native
from lookalike.adapters.vectors_native import CellGraph, kmeans, nearest_of


def unit(count, *, seed=0, dim=16):
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("is_graph", [False, True])
def test_cells_are_found_again_in_a_file_that_goes_on_behind_them(tmp_path, monkeypatch, is_graph):
    monkeypatch.setattr(vectors_native, "GRAPH_CELLS", 100 if is_graph else 10**6)
    centroids = unit(700)
    graph = CellGraph.build(centroids, threads=1)
    path = tmp_path / "segment.faiss"
    path.write_bytes(graph.to_bytes().tobytes() + b"lists of codes")
    again = CellGraph.open(str(path))
    assert len(again) == 700
    np.testing.assert_allclose(again.centroids(), centroids, atol=0.02)
    queries = unit(40, seed=1)
    distances, cells = again.nearest(queries, 7, effort=64, threads=1)
    wanted, _ = again.nearest(queries, 7, effort=0, threads=1)
    assert (np.diff(distances, axis=1) >= 0).all()
    np.testing.assert_allclose(distances, wanted, atol=0.05)
    assert (cells[:, 0] == nearest_of(queries, again.centroids(), 1, threads=1)[1][:, 0]).all()


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "foreign.faiss"
    path.write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(RuntimeError):
        CellGraph.open(str(path))


@pytest.mark.parametrize("count", [1, 3, 50])
def test_few_vectors_have_few_cells(count):
    assert len(kmeans(unit(count), 40, seed=1, threads=1)) == max(1, min(40, count // 2))
