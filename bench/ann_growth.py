"""Vectors like real ones, as many as wanted: between real neighbours, with real residuals.

A drawn vector lies between a real one and one of its neighbours; what that takes from its
length is given back as noise with the covariance of the differences between neighbours. So its
products with any query, of words too, are spread as those of the real vectors around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lookalike.adapters.vectors_matrix import MatrixWriter
from lookalike.adapters.vectors_native import load_faiss

SEED = 20
NEIGHBOURS = 32
BLOCK = 10_000
DIFFERENCES = 40_000
KINDS = ("image", "text")


def unit(vectors: np.ndarray) -> np.ndarray:
    """Return `(n, dim)` float32 vectors of unit length."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class Space:
    """Real `(n, dim)` vectors in an order drawn with the seed, and real queries by kind.

    `tune` are texts to tune with, asked nowhere else.
    """

    real: np.ndarray
    queries: dict[str, np.ndarray]
    tune: np.ndarray

    @classmethod
    def open(cls, folder: Path, dim: int = 0) -> Space:
        """Read what `ann_material.py encode` wrote.

        A smaller `dim` keeps the principal axes of the real vectors, not centred, so that
        inner products are kept as well as they can be; lengths are made 1 again.
        """
        real = np.load(folder / "real.f16.npy").astype(np.float32)
        real = real[np.random.default_rng(SEED).permutation(len(real))]
        asked = {
            "image": np.load(folder / "image.npy").astype(np.float32),
            "text": np.load(folder / "text_test.npy").astype(np.float32),
        }
        tune = np.load(folder / "text_tune.npy").astype(np.float32)
        if not dim or dim == real.shape[1]:
            return cls(real, asked, tune)
        axes = np.linalg.eigh(real.T @ real)[1][:, : -dim - 1 : -1]
        shorter = {kind: unit(queries @ axes) for kind, queries in asked.items()}
        return cls(unit(real @ axes), shorter, unit(tune @ axes))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.real.shape[1]

    @cached_property
    def neighbours(self) -> np.ndarray:
        """The `(n, NEIGHBOURS)` nearest other real vectors of each."""
        faiss = load_faiss()
        found = [
            faiss.knn(
                self.real[begin : begin + BLOCK],
                self.real,
                NEIGHBOURS + 1,
                metric=faiss.METRIC_INNER_PRODUCT,
            )[1][:, 1:]
            for begin in range(0, len(self.real), BLOCK)
        ]
        return np.concatenate(found)

    @cached_property
    def residual_root(self) -> np.ndarray:
        """A `(dim, dim)` root of the covariance of differences between neighbours."""
        generator = np.random.default_rng(SEED)
        first, second = self._pairs(DIFFERENCES, generator)
        differences = self.real[second] - self.real[first]
        values, axes = np.linalg.eigh(differences.T @ differences / len(differences))
        return (axes * np.sqrt(np.maximum(values, 0))).T.astype(np.float32)

    def _pairs(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        first = generator.integers(len(self.real), size=count)
        return first, self.neighbours[first, generator.integers(NEIGHBOURS, size=count)]

    def draw(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Return `(count, dim)` float32 vectors of unit length."""
        first, second = self._pairs(count, generator)
        share = generator.uniform(0, 0.5, (count, 1)).astype(np.float32)
        between = self.real[first] + share * (self.real[second] - self.real[first])
        noise = generator.standard_normal((count, self.dim), dtype=np.float32)
        noise = unit(noise @ self.residual_root)
        left = 1 - np.vecdot(between, between)[:, None]
        return unit(between + np.sqrt(np.maximum(left, 0)) * noise)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Yield `rows` vectors: the real ones, then drawn ones."""
        for begin in range(0, min(rows, len(self.real)), BLOCK):
            yield self.real[begin : min(begin + BLOCK, rows)]
        for begin in range(len(self.real), rows, BLOCK):
            yield self.draw(min(BLOCK, rows - begin), np.random.default_rng((SEED, begin)))


def matrix_folder(folder: Path, rows: int, dim: int) -> Path:
    """Return where the index of a size is kept."""
    return folder / f"index-{rows}x{dim}"


def write_matrix(folder: Path, space: Space, rows: int) -> None:
    """Write the matrix of an index, a block in memory at a time."""
    (folder / "matrix.f16").unlink(missing_ok=True)
    writer = MatrixWriter(folder / "matrix.f16", dim=space.dim, rows=0)
    at = 0
    for block in space.blocks(rows):
        writer.write(np.arange(at, at + len(block)), block)
        at += len(block)
    writer.sync()
    writer.close()


def best_scores(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the `(m, k)` best inner products, best first, reading a block at a time."""
    faiss = load_faiss()
    best = np.full((len(queries), k), -np.inf, np.float32)
    for begin in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[begin : begin + BLOCK]).astype(np.float32)
        scores = faiss.knn(queries, block, k, metric=faiss.METRIC_INNER_PRODUCT)[0]
        best = -np.sort(-np.hstack((best, scores)), axis=1)[:, :k]
    return best


def compare(space: Space) -> list[tuple[str, str, int, float, float, float]]:
    """Return quantiles of the cosines of the first, tenth and hundredth neighbour.

    Of the real vectors, and of as many drawn ones and no real one.
    """
    generator = np.random.default_rng(SEED)
    drawn = [space.draw(min(BLOCK, len(space.real) - b), generator).astype(np.float16)
             for b in range(0, len(space.real), BLOCK)]  # fmt: skip
    rows = []
    for name, vectors in (("real", space.real), ("drawn", np.concatenate(drawn))):
        for kind in KINDS:
            scores = best_scores(space.queries[kind], vectors, 100)
            for place in (1, 10, 100):
                parts = np.quantile(scores[:, place - 1], (0.1, 0.5, 0.9))
                rows.append((name, kind, place, *(float(part) for part in parts)))
    return rows
