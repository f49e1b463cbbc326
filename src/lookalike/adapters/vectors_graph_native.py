"""The graph over rows (HNSW) as Faiss has it, joined to vectors that stay in the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lookalike.adapters.vectors_native import graph_params, halves_index, load_faiss

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.domain.arrays import FloatMatrix, RowArray


class RowGraph:
    """Links between the rows of a `(rows, dim)` fp16 matrix, which the graph does not copy.

    Safe to search from several threads; Faiss releases the interpreter's lock.
    """

    def __init__(self, native: Any, halves: HalfMatrix) -> None:
        """Use `open`."""
        self._native = native
        self._halves = halves
        self._vectors = halves_index(halves)  # Faiss refers to both, and owns neither
        native.own_fields = False
        native.storage = self._vectors

    @classmethod
    def open(cls, path: str, halves: HalfMatrix) -> RowGraph:
        """Map a graph's file and join it to its rows.

        Raises:
            ValueError: the links lead elsewhere than to those rows.
            RuntimeError: Faiss did not write the file.
        """
        faiss = load_faiss()
        native = faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
        if not isinstance(native, faiss.IndexHNSWSQ) or native.d != halves.shape[1]:
            raise ValueError("not a graph over these vectors")
        _check_links(native, len(halves))
        return cls(native, halves)

    def __len__(self) -> int:
        """Return how many rows are joined."""
        return int(self._native.ntotal)

    def nearest(
        self,
        queries: FloatMatrix,
        k: int,
        *,
        effort: int,
        bits: NDArray[np.uint8] | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return the `(n, k)` nearest rows found, padded with -1, those of a bitmap only.

        `effort` is how many rows the search keeps in view (efSearch), let through or not.
        """
        faiss = load_faiss()
        faiss.omp_set_num_threads(threads)
        if bits is None:
            params = graph_params(max(effort, k))
        else:
            selector = faiss.IDSelectorBitmap(bits)
            params = faiss.SearchParametersHNSW(efSearch=max(effort, k), sel=selector)
        found = self._native.search(np.ascontiguousarray(queries), k, params=params)
        return cast("RowArray", found[1])


class RowGraphBuilder:
    """Joins rows one block after the other; holds their vectors meanwhile, two bytes a number."""

    def __init__(self, dim: int, *, links: int, effort: int, threads: int, seed: int) -> None:
        """Begin with no rows."""
        faiss = load_faiss()
        kind = faiss.ScalarQuantizer.QT_fp16
        self._threads = threads
        self._native: Any = faiss.IndexHNSWSQ(dim, kind, links, faiss.METRIC_INNER_PRODUCT)
        self._native.hnsw.efConstruction = effort
        self._native.hnsw.rng = faiss.RandomGenerator(seed)
        self._native.is_trained = True

    def go_on_from(self, path: str, blocks: Iterable[FloatMatrix]) -> None:
        """Take over the links of a file, which are between the first vectors, all of `blocks`."""
        faiss = load_faiss()
        effort = self._native.hnsw.efConstruction
        native = faiss.read_index(path)
        stored = faiss.downcast_index(self._native.storage)
        for vectors in blocks:
            stored.add(vectors)
        stored.this.disown()
        self._native.own_fields = False
        native.storage, native.own_fields = stored, True
        native.hnsw.efConstruction = effort
        self._native = native

    def add(self, vectors: FloatMatrix) -> None:
        """Join `(n, dim)` further vectors."""
        load_faiss().omp_set_num_threads(self._threads)
        self._native.add(vectors)

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return the links as `RowGraph.open` maps them, without the vectors."""
        faiss = load_faiss()
        written = faiss.VectorIOWriter()
        faiss.write_index(self._native, written, faiss.IO_FLAG_SKIP_STORAGE)
        return cast("NDArray[np.uint8]", faiss.vector_to_array(written.data))


def _check_links(native: Any, rows: int) -> None:
    """Raise `ValueError` for links that lead beyond the rows: Faiss would follow them."""
    hnsw = native.hnsw
    neighbours = _array(hnsw.neighbors, np.int32)
    offsets, levels = _array(hnsw.offsets, np.uint64), _array(hnsw.levels, np.int32)
    is_whole = (
        native.ntotal == rows == len(levels) == len(offsets) - 1
        and 0 <= hnsw.entry_point < rows
        and levels.min() >= 1
        and int(levels.max()) == hnsw.max_level + 1
        and neighbours.min() >= -1
        and neighbours.max() < rows
        and offsets[0] == 0
        and offsets[-1] == len(neighbours)
    )
    each = np.asarray([hnsw.cum_nb_neighbors(level) for level in range(hnsw.max_level + 2)])
    if not is_whole or (np.diff(offsets.astype(np.int64)) != each[levels]).any():
        raise ValueError("a graph that leads beyond its rows")


def _array(vector: Any, kind: type[np.generic]) -> NDArray[Any]:
    """Return a mapped vector of Faiss as an array."""
    faiss = load_faiss()
    if not vector.size():
        raise ValueError("a graph without rows")
    view = faiss.rev_swig_ptr(vector.data(), vector.size())
    return cast("NDArray[Any]", view.view(kind))
