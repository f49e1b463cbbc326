"""The thin typed layer over Faiss: nothing else names it, so that it loads when needed.

Both classes are safe to search from several threads; Faiss releases the interpreter's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lookalike.adapters.vectors_matrix import HalfMatrix
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray

_FLAT_TRAINING_CELLS: Final = 1024
_KMEANS_ROUNDS: Final = 8


def load_faiss() -> Any:
    """Import Faiss on first need: 0.1 s and more that a cold start may not have."""
    import faiss

    return faiss


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
    rows, dim = halves.shape
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    codes = np.asarray(halves).view(np.uint8).reshape(-1)
    index.codes = faiss.MaybeOwnedVectorUInt8.create_view(
        faiss.swig_ptr(codes), codes.nbytes, index.codes.owner
    )
    index.ntotal = rows
    index.is_trained = True
    selector = _selector(faiss, mask)
    params = None if selector is None else faiss.SearchParameters(sel=selector)
    return cast("tuple[FloatMatrix, RowArray]", index.search(queries, k, params=params))


class CodeIndex:
    """An inverted file of RaBitQ codes (one bit a dimension) over randomly rotated vectors.

    RaBitQ: Gao and Long, SIGMOD 2024. Codes only choose candidates; their scores stay here.
    """

    def __init__(self, native: Any) -> None:
        """Wrap a Faiss `IndexPreTransform` of a rotation and an inverted file."""
        faiss = load_faiss()
        self._native = native
        self._ivf: Any = faiss.downcast_index(native.index)

    @classmethod
    def train(cls, sample: FloatMatrix, *, cells: int, seed: int, threads: int) -> CodeIndex:
        """Find cells on a `(n, dim)` sample; the index is empty."""
        faiss = load_faiss()
        faiss.omp_set_num_threads(threads)
        dim = sample.shape[1]
        rotation = faiss.RandomRotationMatrix(dim, dim)
        rotation.init(seed)
        turned = cast("FloatMatrix", rotation.apply(sample))
        centroids = _centroids(faiss, turned, cells, seed)
        quantizer = faiss.IndexFlatIP(dim)
        quantizer.add(centroids)
        ivf = faiss.IndexIVFRaBitQFastScan(
            quantizer, dim, len(centroids), faiss.METRIC_INNER_PRODUCT
        )
        ivf.train(turned[: 4 * len(centroids)])
        native = faiss.IndexPreTransform(rotation, ivf)
        native.is_trained = True
        return cls(native)

    @classmethod
    def from_file(cls, path: str) -> CodeIndex:
        """Open a saved index, memory-mapped; raises `RuntimeError` for a file that is not one."""
        faiss = load_faiss()
        native = faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
        if not isinstance(native, faiss.IndexPreTransform):
            raise RuntimeError("not an index of codes")
        return cls(native)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return int(self._ivf.nlist)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self._native.d)

    def __len__(self) -> int:
        """Return how many vectors are coded."""
        return int(self._native.ntotal)

    def add(self, vectors: FloatMatrix, rows: RowArray) -> None:
        """Code `(n, dim)` vectors under their `(n,)` rows."""
        self._native.add_with_ids(vectors, rows)

    def search(
        self,
        queries: FloatMatrix,
        *,
        count: int,
        probes: int,
        mask: BoolMask | None = None,
        threads: int = 1,
    ) -> RowArray:
        """Return `(n, count)` candidate rows, likeliest first, padded with -1."""
        faiss = load_faiss()
        faiss.omp_set_num_threads(threads)
        selector = _selector(faiss, mask)
        inner = faiss.SearchParametersIVF(nprobe=min(probes, self.cells), sel=selector)
        params = faiss.SearchParametersPreTransform(index_params=inner)
        return cast("RowArray", self._native.search(queries, count, params=params)[1])

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return the bytes of the file that `from_file` opens."""
        return cast("NDArray[np.uint8]", load_faiss().serialize_index(self._native))


def _selector(faiss: Any, mask: BoolMask | None) -> Any:
    return None if mask is None else faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))


def _centroids(faiss: Any, sample: FloatMatrix, cells: int, seed: int) -> FloatMatrix:
    """Return up to `cells` centroids: plain k-means, or two levels of it when cells are many.

    Two levels cost an order of magnitude less for nearly the same cells.
    """
    if cells <= _FLAT_TRAINING_CELLS:
        return _kmeans(faiss, sample, cells, seed)
    top = _kmeans(faiss, sample, round(cells**0.5), seed)
    coarse = faiss.IndexFlatL2(sample.shape[1])
    coarse.add(top)
    owner = cast("RowArray", coarse.search(sample, 1)[1]).ravel()
    parts: list[FloatMatrix] = []
    for cell in range(len(top)):
        mine = sample[owner == cell]
        if len(mine):
            share = max(1, round(cells * len(mine) / len(sample)))
            parts.append(_kmeans(faiss, mine, share, seed + cell))
    return np.concatenate(parts)


def _kmeans(faiss: Any, sample: FloatMatrix, cells: int, seed: int) -> FloatMatrix:
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
