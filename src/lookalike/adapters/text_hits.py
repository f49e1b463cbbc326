"""Rows and scores of one query as the port gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.errors import StoreError
from lookalike.domain.hits import NO_ROW, RowHits

if TYPE_CHECKING:
    from lookalike.domain.arrays import BoolMask, FloatMatrix, RowArray
    from lookalike.domain.hits import Selection


def mask_of(selection: Selection | None) -> BoolMask | None:
    """Return the selected rows as a mask, None for all."""
    if selection is None:
        return None
    if selection.mask is None:
        raise StoreError("this text index needs the selected rows", hint="compile the filter first")
    return selection.mask


def is_allowed(mask: BoolMask, rows: RowArray) -> BoolMask:
    """Tell for each row whether the mask holds it; rows beyond the mask are not."""
    if mask.size == 0:
        return np.zeros(rows.size, np.bool_)
    return mask[np.minimum(rows, mask.size - 1)] & (rows < mask.size)


def best_first(rows: RowArray, scores: FloatMatrix, k: int) -> tuple[RowArray, FloatMatrix]:
    """Return the best k, ties by rising row."""
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def padded(rows: RowArray, scores: FloatMatrix, k: int) -> RowHits:
    """Return the hits of one query, padded to k."""
    padded_rows = np.full((1, k), NO_ROW, np.int64)
    padded_scores = np.full((1, k), -np.inf, np.float32)
    padded_rows[0, : rows.size] = rows
    padded_scores[0, : scores.size] = scores
    return RowHits(padded_rows, padded_scores)
