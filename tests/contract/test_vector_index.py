"""What every vector index promises; a new back end adds one line to `BACK_ENDS`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lookalike.adapters.vectors_faiss import FaissVectorIndex
from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.errors import LookalikeError, StoreError, UsageError
from lookalike.domain.filter_terms import FilterTerms, clauses_of, meets
from lookalike.domain.filters import Filter, HasObject
from lookalike.domain.hits import NO_ROW, Selection
from tests.filter_cases import FILTERS
from tests.vector_servers import (
    DIM,
    NO_NUMBERS,
    NONE,
    MilvusBackEnd,
    PineconeBackEnd,
    described_population,
)


@dataclass(frozen=True)
class BackEnd:
    """Opens an index in a folder; `is_sealed` says whether `optimize` runs before searches."""

    settings: VectorSettings
    is_sealed: bool = False
    is_exact: bool = True
    is_server: ClassVar[bool] = False

    @property
    def kind(self):
        if not self.is_sealed:
            return "flat"
        return "hnsw" if self.settings.engine == "graph" else "ivf"

    def open(self, folder: Path, *, rows=0, removed=NONE, is_writer=True) -> Any:
        return FaissVectorIndex.open(
            folder,
            dim=DIM,
            rows=rows,
            removed=removed,
            is_writer=is_writer,
            settings=self.settings,
        )

    def filled(self, folder: Path, vectors, *, rows=None):
        index = self.open(folder)
        rows = np.arange(len(vectors)) if rows is None else rows
        index.add(rows, vectors)
        index.flush()
        index.refresh(int(rows.max(initial=-1)) + 1)
        if self.is_sealed:
            index.optimize()
        return index

    def select(self, mask):
        return Selection(Filter(), mask)

    def begin(self):
        """Nothing: each test has a folder of its own."""

    def close(self):
        """Nothing: files are closed when they are collected."""


FLAT = VectorSettings(import_rows=0)
IVF = VectorSettings(exact_rows=50, seal_rows=40, rows_per_cell=10, training_rows=2000)
BACK_ENDS = {
    "numpy": BackEnd(VectorSettings(import_rows=10**9)),
    "faiss-flat": BackEnd(FLAT),
    "faiss-ivf": BackEnd(
        replace(IVF, image_recall=1.0, text_recall=1.0), is_sealed=True, is_exact=False
    ),
    "faiss-graph": BackEnd(
        replace(IVF, engine="graph", image_recall=1.0, text_recall=1.0),
        is_sealed=True,
        is_exact=False,
    ),
}


SERVERS = {"milvus": MilvusBackEnd(), "pinecone": PineconeBackEnd()}
"""Back ends that compile filters themselves: the tests say a mask as a filter on sites."""

MARKS = {"milvus": pytest.mark.service}


@pytest.fixture(scope="module", autouse=True)
def clean_servers():
    yield
    for server in SERVERS.values():
        server.end()


@pytest.fixture(autouse=True)
def closed_servers():
    yield
    for server in SERVERS.values():
        server.close()


@pytest.fixture(
    params=[
        *BACK_ENDS,
        *(pytest.param(name, marks=MARKS.get(name, ())) for name in SERVERS),
    ]
)
def back_end(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.delitem(__import__("sys").modules, "faiss", raising=False)
    chosen = BACK_ENDS.get(request.param) or SERVERS[request.param]
    chosen.begin()
    yield chosen
    chosen.close()


def unit(count, *, seed=0, dim=DIM):
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def brute(vectors, queries, k, mask=None):
    """The reference: every cosine in fp16 vectors, sorted; rows and scores padded to k."""
    scores = queries @ vectors.astype(np.float16).astype(np.float32).T
    allowed = vectors.any(axis=1) if mask is None else mask & vectors.any(axis=1)
    scores = np.where(allowed, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, order, axis=1)
    rows = np.where(np.isinf(scores), NO_ROW, order)
    pad = k - rows.shape[1]
    rows = np.pad(rows, ((0, 0), (0, max(0, pad))), constant_values=NO_ROW)
    return rows, np.pad(scores, ((0, 0), (0, max(0, pad))), constant_values=-np.inf)


def assert_well_formed(hits, queries, k):
    assert hits.rows.shape == hits.scores.shape == (len(queries), k)
    assert hits.rows.dtype == np.int64
    assert hits.scores.dtype == np.float32
    assert ((hits.rows == NO_ROW) == np.isneginf(hits.scores)).all()
    for rows, scores in zip(hits.rows, hits.scores, strict=True):
        found = rows[rows != NO_ROW]
        assert len(set(found.tolist())) == len(found)
        assert (rows[len(found) :] == NO_ROW).all()
        pairs = list(zip((-scores).tolist(), rows.tolist(), strict=True))[: len(found)]
        assert pairs == sorted(pairs)


def assert_same(hits, expected):
    rows, scores = expected
    np.testing.assert_allclose(hits.scores, scores, atol=2e-6)
    finite = np.where(np.isinf(scores), -np.arange(10, 10 + scores.shape[1]), scores)
    for mine, theirs, score in zip(hits.rows, rows, finite, strict=True):
        distinct = np.abs(np.diff(score, append=-1e9)) > 1e-5
        distinct &= np.abs(np.diff(score, prepend=9)) > 1e-5
        np.testing.assert_array_equal(mine[distinct], theirs[distinct])


@pytest.mark.parametrize("k", [1, 3, 10, 50])
@pytest.mark.parametrize("kind", ["image", "text"])
def test_search_agrees_with_brute_force(back_end, tmp_path, k, kind):
    vectors, queries = unit(400), unit(7, seed=1)
    index = back_end.filled(tmp_path, vectors)
    hits = index.search(queries, k=k, query_kind=kind)
    assert_well_formed(hits, queries, k)
    assert_same(hits, brute(vectors, queries, k))


def test_a_query_alone_answers_as_in_a_batch(back_end, tmp_path):
    vectors, queries = unit(300), unit(9, seed=2)
    index = back_end.filled(tmp_path, vectors)
    together = index.search(queries, k=5)
    for query, rows in zip(queries, together.rows, strict=True):
        np.testing.assert_array_equal(index.search(query[None], k=5).rows[0], rows)


def test_more_hits_than_rows_are_padded(back_end, tmp_path):
    vectors, queries = unit(60), unit(2, seed=1)
    index = back_end.filled(tmp_path, vectors)
    hits = index.search(queries, k=100)
    assert_well_formed(hits, queries, 100)
    assert_same(hits, brute(vectors, queries, 100))


def test_nothing_asked_or_nothing_there(back_end, tmp_path):
    index = back_end.open(tmp_path)
    assert len(index) == 0
    assert index.search(unit(2), k=3).rows.tolist() == [[NO_ROW] * 3] * 2
    index.add(np.arange(5), unit(5))
    index.flush()
    index.refresh(5)
    assert index.search(unit(2), k=0).rows.shape == (2, 0)
    assert index.search(np.zeros((0, DIM), np.float32), k=3).rows.shape == (0, 3)
    with pytest.raises(UsageError):
        index.search(unit(1), k=-1)


def test_arguments_are_never_changed(back_end, tmp_path):
    vectors, queries, rows = unit(200), unit(3, seed=1), np.arange(200)
    mask = np.ones(200, bool)
    kept = [array.copy() for array in (vectors, queries, rows, mask)]
    index = back_end.filled(tmp_path, vectors, rows=rows)
    index.search(queries, k=4, selection=back_end.select(mask))
    index.remove(rows[:3])
    for array, before in zip((vectors, queries, rows, mask), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_ties_are_broken_by_rising_row(back_end, tmp_path):
    one, other = unit(2)
    vectors = np.repeat(one[None], 300, axis=0)
    vectors[[7, 150, 299]] = other
    index = back_end.filled(tmp_path, vectors)
    hits = index.search(np.stack((one, other)), k=100)
    assert hits.rows[0].tolist() == [r for r in range(300) if r not in {7, 150, 299}][:100]
    assert hits.rows[1, :3].tolist() == [7, 150, 299]
    assert len(set(hits.scores[0].tolist())) == 1


def test_adding_twice_equals_once(back_end, tmp_path):
    vectors = unit(120)
    index = back_end.filled(tmp_path, vectors)
    before = index.search(vectors[:4], k=6)
    index.add(np.arange(20, 40), vectors[20:40])
    index.flush()
    index.refresh(120)
    after = index.search(vectors[:4], k=6)
    np.testing.assert_array_equal(before.rows, after.rows)
    assert len(index) == 120


def test_rows_in_any_order_and_the_last_vector_of_a_row_counts(back_end, tmp_path):
    vectors = unit(80)
    order = np.random.default_rng(3).permutation(80)
    index = back_end.open(tmp_path)
    index.add(np.concatenate(([5], order)), np.concatenate((vectors[6:7], vectors[order])))
    index.flush()
    index.refresh(80)
    np.testing.assert_allclose(index.fetch(np.arange(80)), vectors, atol=1e-3)


def test_removed_rows_are_gone_at_once(back_end, tmp_path):
    vectors, queries = unit(300), unit(4, seed=1)
    index = back_end.filled(tmp_path, vectors)
    gone = index.search(queries, k=5).rows.ravel()
    index.remove(gone)
    index.remove(np.array([NO_ROW, 10**9]))
    mask = ~np.isin(np.arange(300), gone)
    assert_same(index.search(queries, k=5), brute(vectors, queries, 5, mask))
    assert len(index) == int(mask.sum())
    if not back_end.is_server:  # a server tells what is left, not what was
        assert index.stats().removed == 300 - int(mask.sum())
    index.remove(np.arange(300))
    assert (index.search(queries, k=5).rows == NO_ROW).all()
    assert len(index) == 0


def test_holes_are_never_found(back_end, tmp_path):
    vectors = unit(200)
    vectors[10:20] = vectors[30] = 0
    present = np.flatnonzero(vectors.any(axis=1))
    index = back_end.filled(tmp_path, vectors[present], rows=present)
    hits = index.search(vectors[:2], k=200)
    assert set(hits.rows[0].tolist()) - {NO_ROW} == set(present.tolist())
    assert len(index) == len(present)
    index.add(np.arange(10, 12), unit(2, seed=9))
    index.flush()
    index.refresh(200)
    assert index.search(unit(2, seed=9), k=1).rows.ravel().tolist() == [10, 11]
    assert len(index) == len(present) + 2


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("is_against", [False, True])
def test_filtered_search_agrees_with_brute_force(back_end, tmp_path, share, is_against):
    vectors, queries = unit(600), unit(5, seed=1)
    index = back_end.filled(tmp_path, vectors)
    index.remove(np.array([1, 2, 3]))
    ranks = (
        np.argsort(vectors @ queries[0])
        if is_against
        else np.random.default_rng(5).permutation(600)
    )
    mask = np.zeros(600, bool)
    mask[ranks[: int(600 * share)]] = True
    k = 10
    hits = index.search(queries, k=k, selection=back_end.select(mask))
    mask[[1, 2, 3]] = False
    assert mask[hits.rows[hits.rows != NO_ROW]].all()
    expected = brute(vectors, queries, k, mask)
    assert ((hits.rows != NO_ROW).sum(axis=1) == min(k, mask.sum())).all()
    assert_same(hits, expected)


def test_a_mask_may_be_shorter_or_longer_than_the_index(back_end, tmp_path):
    vectors = unit(100)
    index = back_end.filled(tmp_path, vectors)
    hits = index.search(vectors[:1], k=100, selection=back_end.select(np.ones(10, bool)))
    assert set(hits.rows[0].tolist()) == {NO_ROW, *range(10)}
    hits = index.search(vectors[:1], k=100, selection=back_end.select(np.ones(900, bool)))
    assert set(hits.rows[0].tolist()) == set(range(100))


def test_fetch_returns_vectors_and_refuses_unknown_rows(back_end, tmp_path):
    vectors = unit(70)
    index = back_end.filled(tmp_path, vectors)
    np.testing.assert_allclose(index.fetch(np.array([3, 69, 3])), vectors[[3, 69, 3]], atol=1e-3)
    for row in (-1, 70):
        with pytest.raises(StoreError):
            index.fetch(np.array([row]))


def test_closing_and_opening_again_changes_nothing(back_end, tmp_path):
    vectors, queries = unit(250), unit(6, seed=4)
    index = back_end.filled(tmp_path, vectors)
    index.remove(np.array([8]))
    before, stats = index.search(queries, k=9), index.stats()
    index.close()
    again = back_end.open(tmp_path, rows=250, removed=np.array([8]))
    after = again.search(queries, k=9)
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_array_equal(before.scores, after.scores)
    assert again.stats() == stats
    assert stats.kind == back_end.kind


def test_only_rows_below_refresh_are_seen(back_end, tmp_path):
    if back_end.is_server:
        pytest.skip("a server shows what is added without being told")
    vectors = unit(150)
    index = back_end.open(tmp_path)
    index.add(np.arange(150), vectors)
    assert len(index) == 0
    assert (index.search(vectors[:1], k=1).rows == NO_ROW).all()
    index.flush()
    index.refresh(100)
    assert len(index) == 100
    assert index.search(vectors, k=1).rows.max() < 100
    index.refresh(150)
    assert index.search(vectors[149:], k=1).rows.tolist() == [[149]]


@pytest.mark.parametrize(
    "call",
    [
        lambda index: index.search(unit(1, dim=DIM + 1), k=1),
        lambda index: index.search(np.full((1, DIM), np.nan, np.float32), k=1),
        lambda index: index.search(np.zeros(DIM, np.float32), k=1),
        lambda index: index.add(np.array([0]), unit(1, dim=DIM - 1)),
        lambda index: index.add(np.array([0, 1]), unit(1)),
        lambda index: index.add(np.array([-1]), unit(1)),
        lambda index: index.add(np.array([0]), np.full((1, DIM), np.inf, np.float32)),
    ],
)
def test_bad_input_raises_our_errors_and_changes_nothing(back_end, tmp_path, call):
    vectors = unit(90)
    index = back_end.filled(tmp_path, vectors)
    with pytest.raises(LookalikeError):
        call(index)
    assert index.search(vectors, k=1).rows.ravel().tolist() == list(range(90))


def test_a_closed_index_says_so(back_end, tmp_path):
    index = back_end.filled(tmp_path, unit(60))
    index.close()
    index.close()
    with pytest.raises(StoreError):
        index.search(unit(1), k=1)


def test_what_one_wrote_another_finds(back_end, tmp_path):
    vectors = unit(60)
    writer = back_end.filled(tmp_path, vectors)
    reader = back_end.open(tmp_path, rows=60, is_writer=False)
    reader.refresh(60)
    assert reader.search(vectors, k=1).rows.ravel().tolist() == list(range(60))
    assert reader.has(np.array([0, 59, 60, -1])).tolist() == [True, True, False, False]
    writer.remove(np.array([7]))
    assert writer.has(np.array([6, 7, 8])).tolist() == [True, False, True]


@settings(max_examples=25)
@given(data=st.data())
def test_any_sequence_of_adds_and_removes_agrees_with_a_dictionary(tmp_path_factory, data):
    back_end = BACK_ENDS[data.draw(st.sampled_from(sorted(BACK_ENDS)))]
    run_sequence(back_end, tmp_path_factory.mktemp("index"), data)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in SERVERS]
)
@settings(max_examples=6)
@given(data=st.data())
def test_any_sequence_agrees_on_servers_too(name, data):
    SERVERS[name].begin()
    run_sequence(SERVERS[name], None, data)
    SERVERS[name].close()


def run_sequence(back_end, folder, data):
    vectors = unit(200, seed=data.draw(st.integers(0, 99)))
    index = back_end.open(folder)
    live: set[int] = set()
    removed: set[int] = set()
    shown = 0
    kinds = (
        ["add", "remove", "seal"] if back_end.is_server else ["add", "remove", "optimize", "seal"]
    )
    steps = st.tuples(st.sampled_from(kinds), st.integers(0, 199))
    for step, number in data.draw(st.lists(steps, max_size=8)):
        if step == "add":
            rows = np.arange(shown, min(200, shown + number))
            index.add(rows, vectors[rows])
            index.flush()
            shown += len(rows)
            index.refresh(shown)
            live |= set(rows.tolist())
        elif step == "remove":
            rows = np.arange(number, min(200, number + 30))
            index.remove(rows)
            removed |= live & set(rows.tolist())
        elif step == "optimize":
            index.optimize()
        else:
            index.maybe_seal()
    live -= removed
    mask = np.isin(np.arange(200), sorted(live))
    queries = unit(2, seed=500)
    assert len(index) == len(live)
    assert_same(index.search(queries, k=200), brute(vectors, queries, 200, mask))
    assert_same(index.search(queries, k=4), brute(vectors, queries, 4, mask))
    index.close()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in SERVERS]
)
def test_filters_mean_on_servers_what_they_mean(name):
    server = SERVERS[name]
    server.begin()
    population = described_population()
    rows = np.array(sorted(population))
    vectors = unit(len(rows) + 1)
    index = server.connect()
    server.opened.append(index)
    index.add(rows, vectors[:-1], [population[row] for row in rows.tolist()])
    index.add(np.array([2**40]), vectors[-1:])  # without terms: found without filters only
    everything = index.search(vectors[:1], k=500).rows[0]
    assert set(everything.tolist()) - {NO_ROW} == {*population, 2**40}

    @settings(max_examples=60)
    @example(Filter((HasObject("cow", at_least=0),)))  # it lets all pass that have terms
    @given(filter_=FILTERS.filter(bool))
    def agree(filter_):
        hits = index.search(vectors[:1], k=500, selection=Selection(filter_))
        clauses = clauses_of(filter_)
        expected = {row for row, values in population.items() if meets(values, clauses)}
        assert set(hits.rows[0].tolist()) - {NO_ROW} == expected

    agree()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=MARKS.get(name, ())) for name in SERVERS]
)
def test_terms_may_hold_any_character_and_be_replaced(name):
    server = SERVERS[name]
    server.begin()
    index = server.connect()
    server.opened.append(index)
    words = [
        "it's",
        'a "quote"',
        "back\\slash",
        "\\",
        '\\"',
        "naïve ☃ 猫",
        "a\nb\tc",
        "%_*",
        "{x}",
        "",
    ]
    labelled = [FilterTerms(frozenset({f"object:1:{word}"}), NO_NUMBERS) for word in words]
    vectors = unit(len(words))
    rows = 2**62 + np.arange(len(words))
    index.add(rows, vectors, labelled)
    for row, word in zip(rows.tolist(), words, strict=True):
        for is_negated in (False, True):
            only = Selection(Filter((HasObject(word, is_negated=is_negated),)))
            found = set(index.search(vectors[:1], k=50, selection=only).rows[0].tolist()) - {NO_ROW}
            assert found == ({row} ^ set(rows.tolist()) if is_negated else {row}), word
    index.update(np.array([rows[0], 5]), [labelled[1], labelled[1]])
    only = Selection(Filter((HasObject(words[1]),)))
    found = index.search(vectors[:1], k=50, selection=only).rows[0]
    assert set(found.tolist()) - {NO_ROW} == set(rows[:2].tolist())
    np.testing.assert_allclose(index.fetch(rows), vectors, atol=1e-3)
