"""Milvus above the size from which it really indexes: what an index changes and must not change."""

import dataclasses
import time

import numpy as np
import pytest

from lookalike.adapters.vectors_milvus import MilvusVectorIndex
from lookalike.adapters.vectors_milvus_provision import MilvusProvisioner
from lookalike.domain.filter_terms import FilterTerms
from lookalike.domain.filters import Filter, OneOf
from lookalike.domain.hits import NO_ROW, Selection
from tests.vector_servers import NO_NUMBERS, drop_collection, milvus_options

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(300)]

ROWS, DIM = 8_000, 32
SETTINGS = {
    "IVF_PQ": {"nlist": 128, "pq_m": 8, "pq_bits": 6},
    "IVF_SQ8": {"nlist": 128},
}


def vectors_of(count, seed=0):
    """Return clustered unit vectors, as fp16 keeps them."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((200, DIM))
    vectors = centres[draw.integers(0, 200, count)] + 0.9 * draw.standard_normal((count, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


VECTORS = vectors_of(ROWS)
QUERIES = vectors_of(40, seed=1)


def terms_of(row):
    shares = {f"site:{name}" for name, step in (("half", 2), ("tenth", 10), ("few", 400))
              if row % step == 0}  # fmt: skip
    return FilterTerms(frozenset(shares), NO_NUMBERS)


def brute(queries, k, mask=None):
    scores = queries @ VECTORS.T
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return rows, np.take_along_axis(scores, rows, axis=1)


def recall(hits, k=10, mask=None):
    tenth = brute(QUERIES, k, mask)[1][:, -1:]
    return float((hits.scores[:, :k] >= tenth - 1e-6).mean())


@pytest.fixture(scope="module", params=SETTINGS)
def sealed(request):
    options = milvus_options("sealed", index_type=request.param, **SETTINGS[request.param])
    MilvusProvisioner(options, dim=DIM).prepare()
    index = MilvusVectorIndex.open(options, dim=DIM)
    index.add(np.arange(ROWS), VECTORS, [terms_of(row) for row in range(ROWS)])
    index.optimize()
    yield index, options
    index.close()
    drop_collection(options)


def again(options, **changes):
    return MilvusVectorIndex.open(dataclasses.replace(options, **changes), dim=DIM)


def test_every_row_is_searched_through_the_index(sealed):
    index, options = sealed
    stats = index.stats()
    assert stats.kind == f"milvus {options.index_type.lower()}"
    assert stats.rows == stats.sealed_rows == ROWS
    assert stats.ann_recall_at_10["image"] > 0.9
    findings = MilvusProvisioner(options, dim=DIM).check()
    assert all(one.state == "ok" for one in findings), findings


def test_fewer_cells_find_less(sealed):
    """What falls back to brute force finds everything, whatever it is told to probe."""
    _, options = sealed
    narrow, wide = again(options, nprobe=1), again(options, nprobe=128)
    found = [recall(one.search(QUERIES, k=10)) for one in (narrow, wide)]
    assert found[0] < 0.9
    assert found[1] > 0.95
    narrow.close()
    wide.close()


def test_scores_are_exact_though_codes_are_not(sealed):
    index, _ = sealed
    hits = index.search(QUERIES, k=20)
    exact = np.einsum("nd,nkd->nk", QUERIES, VECTORS[hits.rows])
    np.testing.assert_allclose(hits.scores, exact, atol=2e-6)
    assert (np.diff(hits.scores, axis=1) <= 0).all()


@pytest.mark.parametrize("name", ["half", "tenth", "few", "none"])
def test_filters_lose_no_hits(sealed, name):
    _, options = sealed
    index = again(options, nprobe=1)
    step = {"half": 2, "tenth": 10, "few": 400, "none": ROWS * 2}[name]
    mask = np.arange(ROWS) % step == 0
    mask &= name != "none"
    selection = Selection(Filter((OneOf("site", frozenset({name})),)))
    for k in (10, 50):
        hits = index.search(QUERIES, k=k, selection=selection)
        assert ((hits.rows != NO_ROW).sum(axis=1) == min(k, mask.sum())).all()
        assert mask[hits.rows[hits.rows != NO_ROW]].all()
    if name == "few":
        np.testing.assert_allclose(
            index.search(QUERIES, k=10, selection=selection).scores,
            brute(QUERIES, 10, mask)[1],
            atol=2e-6,
        )
    index.close()


def test_more_hits_than_the_probed_cells_hold_come_back(sealed):
    _, options = sealed
    index = again(options, nprobe=1, refine=1.0, least_refine=1)
    hits = index.search(QUERIES[:3], k=1500)
    assert (hits.rows != NO_ROW).all()
    assert index.widened > 0
    index.close()


def test_writes_after_sealing_are_seen_and_removals_hide_indexed_rows(sealed):
    index, _ = sealed
    found = index.search(QUERIES[:1], k=3).rows[0]
    index.remove(found)
    assert not set(index.search(QUERIES[:1], k=50).rows[0].tolist()) & set(found.tolist())
    index.add(found, VECTORS[found], [terms_of(row) for row in found.tolist()])
    assert index.search(QUERIES[:1], k=3).rows[0].tolist() == found.tolist()
    assert len(index) == ROWS


@pytest.mark.parametrize("level", ["Strong", "Bounded", "Session", "Eventually"])
def test_another_process_sees_a_write_within_a_second(sealed, level):
    writer, options = sealed
    reader = again(options, consistency=level)
    row = ROWS + 10
    writer.add(np.array([row]), QUERIES[:1])
    begin = time.monotonic()
    while not reader.has(np.array([row])).all():
        assert time.monotonic() - begin < 5
    writer.remove(np.array([row]))
    while reader.has(np.array([row])).any():
        assert time.monotonic() - begin < 10
    reader.close()
