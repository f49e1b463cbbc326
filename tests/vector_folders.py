"""Small vector indexes in folders, for tests."""

import numpy as np

from lookalike.adapters.vectors_faiss import FaissVectorIndex

DIM = 16
NONE = np.zeros(0, np.int64)


def unit(count, *, seed=0, dim=DIM):
    """Return random vectors of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def open_index(folder, settings, *, rows=0, is_writer=True, removed=NONE, dim=DIM):
    """Open or make an index."""
    return FaissVectorIndex.open(
        folder, dim=dim, rows=rows, removed=removed, is_writer=is_writer, settings=settings
    )


def fill(index, vectors, *, begin=0):
    """Add vectors, make them durable and show them."""
    index.add(np.arange(begin, begin + len(vectors)), vectors)
    index.flush()
    index.refresh(begin + len(vectors))
