"""Pages behind a ranking: 10,000 deep, nothing twice, nothing left out, whatever is written."""

from types import SimpleNamespace

import numpy as np
import pytest

from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.queries import Query
from lookalike.engine.cursor import RankedCursor, decode_cursor, encode_cursor, fingerprint
from lookalike.engine.deep import MOST_RESULTS, behind, deep_page
from lookalike.engine.query_vectors import QueryVector
from tests.cluster_fakes import MemoryVectors

DIM = 16
COUNT = 11_000
PAGE = 1000
TWINS = 300
OWNER = fingerprint("index", "query")


def unit(count, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(params=["folder", "cluster"])
def corpus(request, tmp_path):
    """Vectors of which some are the same, in a store of rows that count up or that are hashes."""
    vectors = unit(COUNT, 0)
    vectors[5000 : 5000 + TWINS] = vectors[5000]
    if request.param == "folder":
        rows = np.arange(COUNT)
        store = FaissVectorIndex.open(
            tmp_path, dim=DIM, rows=0, removed=np.zeros(0, np.int64), is_writer=True,
            settings=VectorSettings(),
        )  # fmt: skip
    else:
        rows = np.random.default_rng(1).integers(0, 2**61, COUNT)
        store = MemoryVectors(DIM)
    store.add(rows, vectors)
    store.flush()
    store.refresh(COUNT)
    vectors = store.fetch(rows)
    is_dense = request.param == "folder"
    visible = COUNT if is_dense else (1 << 63) - 1
    yield SimpleNamespace(vectors=store, is_dense=is_dense, visible_rows=visible), rows, vectors
    store.close()


def write(stores, rows, number, given):
    """Add images that are near to everything asked, and remove some that were not given yet."""
    fresh = unit(40, 100 + number)
    first = COUNT + 40 * number
    new = np.arange(first, first + 40) if stores.is_dense else np.arange(40) + 2**61 + first
    stores.vectors.add(new, fresh)
    stores.vectors.flush()
    left = np.setdiff1d(rows, given)
    gone = np.random.default_rng(number).permutation(left)[:30]
    stores.vectors.remove(gone)
    if stores.is_dense:
        stores.visible_rows = first + 40
        stores.vectors.refresh(first + 40)
    return gone


def test_ten_thousand_come_once_each_while_another_writes(corpus):
    stores, rows, vectors = corpus
    query = unit(1, 9)[0]
    order = np.lexsort((rows, -(vectors @ query)))
    # A ranking of another order than the cosines', as words make it, whose last page is asked.
    head = np.random.default_rng(2).permutation(np.union1d(order[:500], np.arange(9000, 9200)))
    ranked = RankedCursor(
        rows[head], np.linspace(1, 0.5, len(head), dtype=np.float32), 0, len(head),
        horizon=stores.visible_rows,
    )  # fmt: skip
    cursor, given, removed, sizes = behind(ranked), rows[head].tolist(), set(), []
    while cursor is not None:
        cursor = decode_cursor(encode_cursor(cursor, OWNER), OWNER)
        sizes.append(len(encode_cursor(cursor, OWNER)))
        page = deep_page(
            Query(k=PAGE), QueryVector(query, "image"), None, cursor, stores=stores, gatherer=None
        )
        assert len(page.rows)
        assert (np.diff(page.scores) <= 0).all()
        given += page.rows.tolist()
        removed |= set(write(stores, rows, len(sizes), given).tolist())
        cursor = page.next
    assert len(given) == len(set(given)) == MOST_RESULTS
    assert max(sizes) < 20_000
    known = set(rows.tolist())
    old = [row for row in given if row in known]
    expected = [row for row in rows[order].tolist() if row not in removed]
    last = expected.index(next(row for row in reversed(old) if row not in removed))
    assert set(expected[: last + 1]) <= set(old)
    if stores.is_dense:
        assert len(old) == len(given)


def test_nothing_lies_behind_a_whole_ranking():
    assert behind(RankedCursor(np.arange(3), np.ones(3, np.float32), 0, 3)) is None
