"""Segments that are graphs over their rows: what they find, how they grow, what damage costs."""

import dataclasses
import json

import numpy as np
import pytest

from lookalike.adapters import vectors_graph
from lookalike.adapters.vectors_allowed import AllowedRows
from lookalike.adapters.vectors_graph import GraphIndex, build_graph, tune_graph
from lookalike.adapters.vectors_graph_native import RowGraph
from lookalike.adapters.vectors_matrix import SegmentRows
from lookalike.adapters.vectors_probing import Probing, Sieve
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.filters import Filter
from lookalike.domain.hits import Selection
from tests.vector_folders import DIM, fill, open_index, unit

GRAPH = VectorSettings(engine="graph", exact_rows=100, seal_rows=100)


def part(vectors, *, begin=0, live=None):
    live = np.ones(len(vectors), bool) if live is None else live
    return SegmentRows(vectors.astype(np.float16), begin, live)


def filled(folder, vectors, *, settings=GRAPH):
    index = open_index(folder, settings)
    fill(index, vectors)
    index.optimize()
    return index


def truth(vectors, queries, k=10, mask=None):
    scores = queries @ vectors.astype(np.float16).astype(np.float32).T
    if mask is not None:
        scores[:, ~mask] = -np.inf
    return np.argsort(-scores, axis=1)[:, :k]


def recall(found, expected):
    return np.mean(
        [len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, expected, strict=True)]
    )


def test_a_graph_is_small_finds_its_rows_and_says_how_well(tmp_path):
    vectors, queries = unit(3000), unit(60, seed=1)
    index = filled(tmp_path, vectors)
    index.calibrate(unit(60, seed=2))
    stats = index.stats()
    assert stats.kind == "hnsw"
    assert stats.sealed_rows == 3000
    assert stats.bytes - 3000 * 2 * DIM < 3000 * 200  # links, not vectors
    assert stats.ann_recall_at_10["image"] >= GRAPH.image_recall
    assert stats.ann_recall_at_10["text"] >= GRAPH.text_recall
    for kind in ("image", "text"):
        hits = index.search(queries, k=10, query_kind=kind)
        assert recall(hits.rows, truth(vectors, queries)) > 0.95
    reader = open_index(tmp_path, GRAPH, rows=3000, is_writer=False)
    assert reader.stats() == stats
    np.testing.assert_array_equal(
        reader.search(queries, k=10).rows, index.search(queries, k=10).rows
    )


def test_a_target_of_one_is_not_left_to_a_sample(tmp_path):
    vectors, queries = unit(700), unit(40, seed=1)
    index = filled(tmp_path, vectors, settings=dataclasses.replace(GRAPH, image_recall=1.0))
    np.testing.assert_array_equal(index.search(queries, k=10).rows, truth(vectors, queries))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("is_far", [False, True])
def test_filters_lose_nothing_even_where_all_let_through_is_far_away(tmp_path, share, is_far):
    vectors = unit(4000)
    queries = unit(200, seed=3)
    queries = queries[np.argsort(-queries[:, 0])[:20]]  # all on one side
    mask = np.random.default_rng(5).random(4000) < share
    if is_far:
        mask = vectors[:, 0] <= np.quantile(vectors[:, 0], share)
    index = filled(tmp_path, vectors)
    hits = index.search(queries, k=10, selection=Selection(Filter(), mask))
    assert mask[hits.rows].all()
    assert recall(hits.rows, truth(vectors, queries, mask=mask)) >= 0.97


def test_a_filter_that_few_rows_pass_near_the_query_looks_at_each_of_them(tmp_path, monkeypatch):
    vectors = unit(3000)
    mask = vectors[:, 0] < np.quantile(vectors[:, 0], 0.2)
    query = np.eye(1, DIM, dtype=np.float32)
    graph = build_graph(part(vectors), GRAPH, tmp_path / "x.faiss")
    scanned = []
    every = GraphIndex._every
    monkeypatch.setattr(
        GraphIndex, "_every", lambda *args: scanned.append(len(args[1])) or every(*args)
    )
    sieve = Sieve(np.packbits(mask, bitorder="little"), wanted=64)
    found = graph.search(query, Probing(64, 0.5), count=10, sieve=sieve)
    np.testing.assert_array_equal(found, truth(vectors, query, mask=mask))
    assert scanned == [1]


@pytest.mark.parametrize("begin", [0, 8, 13])
def test_rows_are_counted_from_where_a_segment_begins(tmp_path, begin):
    vectors, queries = unit(500), unit(10, seed=1)
    mask = np.random.default_rng(1).random(500) < 0.4
    every = np.concatenate((np.ones(begin, bool), mask, np.ones(9, bool)))
    graph = build_graph(part(vectors, begin=begin), GRAPH, tmp_path / "x.faiss")
    sieve = Sieve(AllowedRows.of(every).part(begin, begin + 500))
    found = graph.search(queries, Probing(500, 0.5), count=10, sieve=sieve)
    np.testing.assert_array_equal(found, truth(vectors, queries, mask=mask) + begin)


def test_segments_under_a_filter_each_know_their_rows(tmp_path):
    vectors, queries = unit(1301), unit(20, seed=1)
    index = filled(tmp_path, vectors[:1001])
    fill(index, vectors[1001:], begin=1001)
    assert index.maybe_seal()
    assert [s.begin for s in index._view.manifest.segments] == [0, 1001]
    index.remove(np.arange(0, 1301, 7))
    mask = np.random.default_rng(1).random(1301) < 0.5
    hits = index.search(queries, k=10, selection=Selection(Filter(), mask))
    mask[::7] = False
    assert mask[hits.rows].all()
    assert recall(hits.rows, truth(vectors, queries, mask=mask)) > 0.97


def test_fewer_rows_than_asked_for_are_padded(tmp_path):
    vectors = unit(300)
    mask = np.zeros(300, bool)
    graph = build_graph(part(vectors), GRAPH, tmp_path / "x.faiss")
    for let_through in (0, 3):
        mask[:let_through] = True
        sieve = Sieve(np.packbits(mask, bitorder="little"), wanted=32)
        found = graph.search(vectors[:2], Probing(32, 0.5), count=10, sieve=sieve)
        assert (np.sort(found, axis=1)[:, : 10 - let_through] == -1).all()
        assert ((found >= 0).sum(axis=1) == let_through).all()


def test_a_graph_that_grows_goes_on_from_the_one_before(tmp_path, monkeypatch):
    vectors = unit(1000)
    index = filled(tmp_path, vectors[:600])
    joined = []
    add = vectors_graph.RowGraphBuilder.add
    monkeypatch.setattr(
        vectors_graph.RowGraphBuilder,
        "add",
        lambda self, some: joined.append(len(some)) or add(self, some),
    )
    fill(index, vectors[600:], begin=600)
    assert index.maybe_seal()
    assert joined == [400]
    assert index.stats().sealed_rows == 1000
    hits = index.search(vectors, k=1)
    assert (hits.rows.ravel() == np.arange(1000)).mean() > 0.98


def test_removed_rows_lead_on_but_are_not_found(tmp_path):
    vectors, queries = unit(2000), unit(40, seed=1)
    index = filled(tmp_path, vectors)
    gone = np.arange(0, 2000, 3)
    index.remove(gone)
    live = np.ones(2000, bool)
    live[gone] = False
    assert index.maybe_seal()  # a third is gone: tuned anew
    assert not index.maybe_seal()
    hits = index.search(queries, k=10)
    assert live[hits.rows].all()
    assert recall(hits.rows, truth(vectors, queries, mask=live)) > 0.97


@pytest.mark.parametrize("damage", ["garbage", "short", "links", "foreign"])
def test_a_damaged_graph_costs_speed_and_no_row(tmp_path, damage):
    vectors = unit(400)
    filled(tmp_path, vectors).close()
    (file,) = (tmp_path / "segments").glob("*.faiss")
    data = file.read_bytes()
    if damage == "garbage":
        file.write_bytes(b"\x07" * len(data))
    elif damage == "short":
        file.write_bytes(data[:-10])
    elif damage == "links":
        far = np.frombuffer(data[: len(data) // 4 * 4], "<i4").copy()
        far[len(far) // 2] = 1_000_000  # a row that is not there
        file.write_bytes(far.tobytes() + data[len(far) * 4 :])
    else:
        other = filled(tmp_path / "other", unit(390))
        (foreign,) = (tmp_path / "other" / "segments").glob("*.faiss")
        file.write_bytes(foreign.read_bytes().ljust(len(data), b"\0")[: len(data)])
        other.close()
    index = open_index(tmp_path, GRAPH, rows=400)
    hits = index.search(vectors, k=1)
    assert hits.rows.ravel().tolist() == list(range(400))
    assert index.stats().kind == "flat"
    assert index.maybe_seal()
    assert index.stats().kind == "hnsw"


def test_the_engine_changes_with_the_next_optimize(tmp_path):
    vectors = unit(500)
    filled(tmp_path, vectors).close()
    for engine, kind in (("cells", "ivf"), ("graph", "hnsw"), ("exact", "flat")):
        index = open_index(tmp_path, dataclasses.replace(GRAPH, engine=engine), rows=500)
        hits = index.search(vectors, k=1)  # by what another engine left, meanwhile
        assert (hits.rows.ravel() == np.arange(500)).mean() > 0.97
        index.optimize()
        assert index.stats().kind == kind
        hits = index.search(vectors, k=1)
        assert (hits.rows.ravel() == np.arange(500)).mean() > 0.97
        index.close()
    manifest = json.loads((tmp_path / "segments" / "manifest.json").read_text())
    assert manifest["segments"] == []
    assert list((tmp_path / "segments").glob("*.faiss")) == []


def test_every_row_is_looked_at_where_that_is_asked_for(tmp_path):
    vectors, queries = unit(500), unit(20, seed=1)
    filled(tmp_path, vectors).close()
    index = open_index(tmp_path, VectorSettings.of_engine("exact"), rows=500)
    np.testing.assert_array_equal(index.search(queries, k=10).rows, truth(vectors, queries))
    index.remove(np.arange(200))  # as many as would make a segment worth building anew
    assert not index.maybe_seal()


def test_texts_keep_more_in_view_while_there_are_none_to_measure_with(tmp_path):
    some = part(unit(600))
    graph = build_graph(some, GRAPH, tmp_path / "x.faiss")
    tunings, costs = tune_graph(graph, some, np.zeros((0, DIM), np.float32), GRAPH)
    assert tunings["text"].probes == 4 * tunings["image"].probes
    assert tunings["text"].recall is None
    assert min(costs.probe_us, costs.rerank_us, costs.row_us) > 0


def test_links_between_other_vectors_are_refused(tmp_path):
    build_graph(part(unit(50)), GRAPH, tmp_path / "x.faiss")
    path = str(tmp_path / "x.faiss")
    assert len(RowGraph.open(path, unit(50).astype(np.float16))) == 50
    with pytest.raises(ValueError, match="beyond its rows"):
        RowGraph.open(path, unit(49).astype(np.float16))
    with pytest.raises(ValueError, match="these vectors"):
        RowGraph.open(path, np.zeros((50, DIM + 1), np.float16))
