"""Candidates of a vector server, scored exactly and put into the order the port promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.hits import NO_ROW, RowHits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.arrays import FloatMatrix, RowArray


def as_stored(vectors: FloatMatrix) -> FloatMatrix:
    """Return `(n, dim)` float32 with the values of fp16, which is what every store keeps.

    A vector then scores the same in the embedded index, on a server, and after an export.
    """
    return vectors.astype(np.float16).astype(np.float32)


def exact_scores(vectors: FloatMatrix, query: FloatMatrix) -> FloatMatrix:
    """Return `(n,)` inner products; equal vectors score equally, wherever they stand."""
    return (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)


def best_of(rows: RowArray, scores: FloatMatrix, k: int) -> tuple[RowArray, FloatMatrix]:
    """Return the best k of `(n,)` rows and scores, ties by rising row, each row once."""
    rows, first = np.unique(rows, return_index=True)
    scores = scores[first]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def stacked(found: Sequence[tuple[RowArray, FloatMatrix]], k: int) -> RowHits:
    """Return the hits of each query as one padded answer."""
    rows = np.full((len(found), k), NO_ROW, np.int64)
    scores = np.full((len(found), k), -np.inf, np.float32)
    for at, (found_rows, found_scores) in enumerate(found):
        rows[at, : len(found_rows)] = found_rows
        scores[at, : len(found_scores)] = found_scores
    return RowHits(rows, scores)


def is_cut_in_tie(scores: FloatMatrix, k: int) -> bool:
    """Tell whether more rows may tie with the k-th of `(n,)` scores in the server's order.

    Equal vectors stand side by side there, whatever codes it scores with. So a group of them
    was cut only if the last candidate is one of the group.
    """
    return len(scores) >= k and bool(scores[-1] == np.sort(scores)[-k])


def overlap_at_10(found: RowHits, truth: RowHits) -> float:
    """Return `ann_recall@10`: a hit counts when it scores no less than the tenth true one."""
    width = min(10, truth.scores.shape[1], found.scores.shape[1])
    tenth = np.maximum(truth.scores[:, width - 1], -1.0)[:, None]
    there = np.minimum(np.isfinite(truth.scores).sum(axis=1), width)
    good = (found.scores[:, :width] >= tenth - 1e-6).sum(axis=1)
    return float(np.minimum(good, there).sum() / max(1, there.sum()))
