"""The thin typed layer over Faiss: nothing else names it, so that it loads when needed.

All classes are safe to search from several threads; Faiss releases the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

GRAPH_CELLS: Final = 2_048
"""From so many cells on they are searched through a graph."""
_GRAPH_LINKS: Final = 24
_GRAPH_EFFORT: Final = 80
_FEW_TIMES: Final = 16
"""More than one cell in so many is found faster by looking at all of them."""
_SHORTEST: Final = 1e-6
_KMEANS_ROUNDS: Final = 8
_MOST_PARAMS: Final = 100
_PAIR_BITS: Final = 4
_PAIR_POINTS: Final = 1_024
"""Faiss wants more points than this many codes have entries."""


def load_faiss() -> Any:
    """Import Faiss on first need: 0.1 s and more that a cold start may not have."""
    import faiss

    return faiss


class _PerThread(threading.local):
    """The indexes, by length of a vector, through which a thread looks at rows.

    Each call of Faiss lets go of the interpreter's lock: making one anew would take several.
    """

    def __init__(self) -> None:
        self.flat: dict[int, Any] = {}


_MINE = _PerThread()


@lru_cache(maxsize=_MOST_PARAMS)
def list_params(probes: int) -> Any:
    """Return parameters of a search of lists, for all threads: Faiss only reads them."""
    return load_faiss().SearchParametersIVF(nprobe=probes)


@lru_cache(maxsize=_MOST_PARAMS)
def graph_params(effort: int) -> Any:
    """Return parameters of a search of a graph, for all threads: Faiss only reads them."""
    return load_faiss().SearchParametersHNSW(efSearch=effort)


def scan_halves(
    halves: HalfMatrix,
    queries: FloatMatrix,
    *,
    k: int,
    mask: BoolMask | None = None,
    threads: int = 1,
) -> tuple[FloatMatrix, RowArray]:
    """Return the `(n, k)` best inner products and positions in a C-contiguous matrix.

    Faiss's fp16 scalar quantizer looks straight into the memory map: nothing is copied
    and products are summed in fp32. Positions are -1 where fewer than k are allowed;
    among equal scores the order is not defined.
    """
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    dim = halves.shape[1]
    index = _MINE.flat.get(dim)
    if index is None:
        index = _MINE.flat[dim] = halves_index(halves)
    else:
        _look_into(index, halves)
    bits = None if mask is None else np.packbits(mask, bitorder="little")
    params = None if bits is None else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
    return cast("tuple[FloatMatrix, RowArray]", index.search(queries, k, params=params))


def halves_index(halves: HalfMatrix) -> Any:
    """Return a Faiss index by inner product that looks into a `(rows, dim)` matrix.

    The matrix must be C-contiguous, and outlive the index.
    """
    faiss = load_faiss()
    index = faiss.IndexScalarQuantizer(
        halves.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.is_trained = True
    _look_into(index, halves)
    return index


def _look_into(index: Any, halves: HalfMatrix) -> None:
    faiss = load_faiss()
    codes = np.asarray(halves).view(np.uint8).reshape(-1)
    index.codes = faiss.MaybeOwnedVectorUInt8.create_view(
        faiss.swig_ptr(codes), codes.nbytes, index.codes.owner
    )
    index.ntotal = len(halves)


def kmeans(sample: FloatMatrix, cells: int, *, seed: int, threads: int) -> FloatMatrix:
    """Return up to `cells` `(cells, dim)` centroids of a `(n, dim)` sample, n at least 1."""
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    cells = max(1, min(cells, len(sample) // 2))
    means = faiss.Kmeans(
        sample.shape[1],
        cells,
        niter=_KMEANS_ROUNDS,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=64,
    )
    means.train(np.ascontiguousarray(sample))
    return cast("FloatMatrix", means.centroids)


def nearest_of(
    vectors: FloatMatrix, among: FloatMatrix, k: int, *, threads: int
) -> tuple[FloatMatrix, RowArray]:
    """Return the `(n, k)` squared distances and positions of the nearest of a few vectors."""
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    return cast("tuple[FloatMatrix, RowArray]", faiss.knn(vectors, among, k))


def best_products(
    queries: FloatMatrix, among: FloatMatrix, k: int, *, threads: int
) -> tuple[FloatMatrix, RowArray]:
    """Return the `(n, k)` best inner products and their positions among some vectors."""
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    found = faiss.knn(queries, among, k, metric=faiss.METRIC_INNER_PRODUCT)
    return cast("tuple[FloatMatrix, RowArray]", found)


def train_pairs(projected: FloatMatrix, *, threads: int) -> FloatMatrix:
    """Return `(dims / 2, 16, 2)` codebooks for pairs of the numbers of `(n, dims)` vectors."""
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    dims = projected.shape[1]
    repeats = -(-_PAIR_POINTS // len(projected))
    quantizer = faiss.ProductQuantizer(dims, dims // 2, _PAIR_BITS)
    quantizer.train(np.tile(projected, (repeats, 1)).astype(np.float32))
    centroids = cast("FloatMatrix", faiss.vector_to_array(quantizer.centroids))
    return centroids.reshape(dims // 2, 1 << _PAIR_BITS, 2)


def encode_pairs(
    projected: FloatMatrix, codebook: FloatMatrix, *, threads: int
) -> NDArray[np.uint8]:
    """Return `(n, dims / 4)` bytes: the nearest entry of each pair's codebook, 4 bits each."""
    faiss = load_faiss()
    faiss.omp_set_num_threads(threads)
    quantizer = faiss.ProductQuantizer(projected.shape[1], len(codebook), _PAIR_BITS)
    faiss.copy_array_to_vector(codebook.ravel(), quantizer.centroids)
    return cast("NDArray[np.uint8]", quantizer.compute_codes(projected))


class CellGraph:
    """Centroids in 8 bits a number, and a graph over them (HNSW) when they are many.

    Distances are Euclidean; see `CodeIndex.rank` for how that ranks by inner product.
    """

    def __init__(self, native: Any) -> None:
        """Wrap a Faiss `IndexScalarQuantizer` or `IndexHNSWSQ`."""
        faiss = load_faiss()
        self._native = native
        is_graph = isinstance(native, faiss.IndexHNSWSQ)
        self._flat: Any = faiss.downcast_index(native.storage) if is_graph else native
        self._is_graph = is_graph

    @classmethod
    def build(cls, centroids: FloatMatrix, *, threads: int) -> CellGraph:
        """Quantize `(cells, dim)` centroids and join them.

        The graph joins cells by direction, though it is searched by distance: few links lead to
        a tight cell from wide ones, whose centroids are short, and it would not be reached.
        """
        faiss = load_faiss()
        faiss.omp_set_num_threads(threads)
        dim, kind = centroids.shape[1], faiss.ScalarQuantizer.QT_8bit
        flat = faiss.IndexScalarQuantizer(dim, kind)
        flat.train(centroids)
        flat.add(centroids)
        if len(centroids) < GRAPH_CELLS:
            return cls(flat)
        native = faiss.IndexHNSWSQ(dim, kind, _GRAPH_LINKS)
        native.hnsw.efConstruction = _GRAPH_EFFORT
        lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
        directions = (centroids / np.maximum(lengths, _SHORTEST)).astype(np.float32)
        native.train(directions)
        native.add(directions)
        faiss.downcast_index(native.storage).this.own(True)
        flat.this.disown()
        native.storage = flat
        return cls(native)

    @classmethod
    def open(cls, path: str) -> CellGraph:
        """Map the graph at the beginning of a file; raises `RuntimeError` for another file."""
        faiss = load_faiss()
        native = faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
        if not isinstance(native, faiss.IndexHNSWSQ | faiss.IndexScalarQuantizer):
            raise RuntimeError("not a graph over cells")
        return cls(native)

    def __len__(self) -> int:
        """Return how many cells there are."""
        return int(self._native.ntotal)

    def centroids(self) -> FloatMatrix:
        """Return the `(cells, dim)` centroids as they were quantized."""
        return cast("FloatMatrix", self._flat.reconstruct_n(0, len(self)))

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return the bytes that `open` maps."""
        return cast("NDArray[np.uint8]", load_faiss().serialize_index(self._native))

    def nearest(
        self, queries: FloatMatrix, probes: int, *, effort: int, threads: int
    ) -> tuple[FloatMatrix, RowArray]:
        """Return `(n, probes)` squared distances and cells, padded with -1.

        The graph keeps `effort` cells in view; 0 looks at every cell.
        """
        load_faiss().omp_set_num_threads(threads)
        if not self._is_graph or effort == 0 or probes * _FEW_TIMES > len(self):
            return cast("tuple[FloatMatrix, RowArray]", self._flat.search(queries, probes))
        params = graph_params(max(effort, probes))
        return cast(
            "tuple[FloatMatrix, RowArray]", self._native.search(queries, probes, params=params)
        )


@dataclass(frozen=True, slots=True)
class ListLayout:
    """Where a file holds lists of codes: `table` is `(cells, 3)` sizes, rooms and offsets.

    `codebook` is `(dims / 2, 16, 2)`.
    """

    path: str
    bytes: int
    table: NDArray[np.uint64]
    codebook: FloatMatrix


class ListScan:
    """Scans mapped lists of 4-bit codes in registers; which ones, and their bias, is told."""

    def __init__(self, layout: ListLayout) -> None:
        """Map the file; raises `RuntimeError` when that fails."""
        faiss = load_faiss()
        pairs = len(layout.codebook)
        self._lists: Any = faiss.OnDiskInvertedLists(len(layout.table), pairs // 2, "")
        self._lists.filename = layout.path
        self._lists.read_only = True
        self._lists.totsize = layout.bytes
        ctypes.memmove(
            int(self._lists.lists.data().this), layout.table.ctypes.data, layout.table.nbytes
        )
        self._lists.do_mmap()
        self._cells: Any = faiss.IndexFlatIP(2 * pairs)
        self._native: Any = faiss.IndexIVFPQFastScan(
            self._cells,
            2 * pairs,
            len(layout.table),
            pairs,
            _PAIR_BITS,
            faiss.METRIC_INNER_PRODUCT,
        )
        self._native.by_residual = True
        faiss.copy_array_to_vector(layout.codebook.ravel(), self._native.pq.centroids)
        self._native.replace_invlists(self._lists, False)
        self._native.ntotal = int(layout.table[:, 0].sum())
        self._native.is_trained = True

    def search(
        self,
        projected: FloatMatrix,
        cells: RowArray,
        products: FloatMatrix,
        *,
        count: int,
        bits: NDArray[np.uint8] | None,
        threads: int,
    ) -> tuple[FloatMatrix, RowArray]:
        """Return `(n, count)` estimated cosines and rows of the best codes, padded with -1.

        `projected` is `(n, dims)`; `cells` and `products` are `(n, probes)`: the lists to scan
        and what their centroids add to a cosine. `bits` is a bitmap of the rows let through.
        """
        faiss = load_faiss()
        faiss.omp_set_num_threads(threads)
        queries, cells = np.ascontiguousarray(projected), np.ascontiguousarray(cells)
        products = np.ascontiguousarray(products)
        scores = np.empty((len(queries), count), np.float32)
        rows = np.empty((len(queries), count), np.int64)
        if bits is None:
            params = list_params(cells.shape[1])
        else:
            selector = faiss.IDSelectorBitmap(bits)
            params = faiss.SearchParametersIVF(nprobe=cells.shape[1], sel=selector)
        self._native.search_preassigned_c(
            len(queries),
            faiss.swig_ptr(queries),
            count,
            faiss.swig_ptr(cells),
            faiss.swig_ptr(products),
            faiss.swig_ptr(scores),
            faiss.swig_ptr(rows),
            False,
            params,
            None,
        )
        return scores, rows
