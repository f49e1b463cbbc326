"""What is asked of vectors before a vector index takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike.domain.errors import EncoderMismatchError, QueryError, StoreError

if TYPE_CHECKING:
    from lookalike.domain.arrays import FloatMatrix, RowArray


def checked_vectors(rows: RowArray, vectors: FloatMatrix, dim: int) -> tuple[RowArray, FloatMatrix]:
    """Return rows that rise, the last vector of each, or raise before anything is written."""
    rows = np.asarray(rows, np.int64)
    if vectors.ndim != 2 or vectors.shape[1] != dim or len(rows) != len(vectors):
        raise _mismatch(vectors, dim)
    if not np.isfinite(vectors).all() or (rows < 0).any():
        raise StoreError("a vector is not finite or its row is negative", hint="report a bug")
    rows, last = np.unique(rows[::-1], return_index=True)
    return rows, vectors[::-1][last]


def checked_queries(queries: FloatMatrix, dim: int) -> FloatMatrix:
    """Return `(n, dim)` queries in one piece, or raise."""
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise _mismatch(queries, dim)
    if not np.isfinite(queries).all():
        raise QueryError("a query's vector is not finite", hint="report a bug")
    return np.ascontiguousarray(queries, np.float32)


def _mismatch(vectors: FloatMatrix, dim: int) -> EncoderMismatchError:
    return EncoderMismatchError(
        f"vectors of shape {vectors.shape} do not fit an index of {dim} numbers a vector",
        hint="use the encoder that filled the index, or migrate",
    )
