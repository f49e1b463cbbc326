"""The cells of a segment: k-means on two levels, however many there are, and whose is whose.

Two levels cost an order of magnitude less than one for nearly the same cells, and hold the
vectors of one upper cell in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.vectors_native import kmeans, nearest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.adapters.vectors_cells_checkpoint import Checkpoint
    from lookalike.domain.arrays import FloatMatrix, RowArray

_ONE_LEVEL: Final = 1_024
_UPPER_POINTS: Final = 64
_BEAM: Final = 8
"""A vector looks for its cell in so many upper cells."""
_BLOCK: Final = 16_384


@dataclass(frozen=True, slots=True)
class Cells:
    """`(cells, dim)` centroids, grouped under `(uppers, dim)` upper ones.

    Those of upper cell u are `starts[u]` to `starts[u + 1]`; `starts` is `(uppers + 1,)`.
    """

    centroids: FloatMatrix
    uppers: FloatMatrix
    starts: RowArray

    def __len__(self) -> int:
        """Return how many cells there are."""
        return len(self.centroids)

    def nearest(self, vectors: FloatMatrix, *, threads: int) -> RowArray:
        """Return the `(n,)` cells of `(n, dim)` vectors: the nearest, or nearly always so."""
        if len(self.uppers) <= _BEAM:
            return nearest_of(vectors, self.centroids, 1, threads=threads)[1].ravel()
        uppers = nearest_of(vectors, self.uppers, _BEAM, threads=threads)[1].ravel()
        order = np.argsort(uppers, kind="stable")
        ends = np.searchsorted(uppers[order], np.arange(len(self.uppers) + 1))
        best = np.full(len(vectors), np.inf, np.float32)
        owners = np.zeros(len(vectors), np.int64)
        for upper in np.flatnonzero(np.diff(ends)).tolist():
            who = order[ends[upper] : ends[upper + 1]] // _BEAM
            begin, end = self.starts[upper : upper + 2].tolist()
            distances, found = nearest_of(
                vectors[who], self.centroids[begin:end], 1, threads=threads
            )
            is_nearer = distances[:, 0] < best[who]
            best[who[is_nearer]] = distances[is_nearer, 0]
            owners[who[is_nearer]] = begin + found[is_nearer, 0]
        return owners


def train_cells(
    sample: RowArray,
    wide: Callable[[RowArray], FloatMatrix],
    count: int,
    *,
    seed: int,
    threads: int,
    checkpoint: Checkpoint,
) -> Cells:
    """Find about `count` cells on the sampled rows, which `wide` reads as `(n, dim)` float32.

    What `checkpoint` holds of an earlier run on the same sample is not found again.
    """
    if count <= _ONE_LEVEL:
        centroids = kmeans(wide(sample), count, seed=seed, threads=threads)
        return Cells(centroids, centroids[:1], np.asarray([0, len(centroids)]))
    done = checkpoint.arrays()
    if done:
        uppers = done[0]
    else:
        some = min(len(sample), _UPPER_POINTS * round(count**0.5))
        chosen = np.random.default_rng(seed).choice(len(sample), some, replace=False)
        uppers = kmeans(
            wide(sample[np.sort(chosen)]), round(count**0.5), seed=seed, threads=threads
        )
        checkpoint.append(uppers)
    owners = np.concatenate(
        [
            nearest_of(wide(sample[begin : begin + _BLOCK]), uppers, 1, threads=threads)[1].ravel()
            for begin in range(0, len(sample), _BLOCK)
        ]
    )
    order = np.argsort(owners, kind="stable")
    ends = np.searchsorted(owners[order], np.arange(len(uppers) + 1)).tolist()
    parts = list(done[1:])
    for upper in range(len(parts), len(uppers)):
        mine = np.sort(sample[order[ends[upper] : ends[upper + 1]]])
        share = max(1, round(count * len(mine) / len(sample)))
        part = uppers[upper : upper + 1]
        if len(mine):
            part = kmeans(wide(mine), share, seed=seed + upper, threads=threads)
        parts.append(part)
        checkpoint.append(part)
    starts = np.cumsum([0, *(len(part) for part in parts)])
    return Cells(np.concatenate(parts), uppers, starts)
