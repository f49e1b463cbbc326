"""What every hash index promises; a new one adds one line to `BACK_ENDS`."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.adapters import hashes_tables
from lookalike.adapters.hashes_memory import MemoryHashIndex
from lookalike.adapters.hashes_vectors import DIM, VectorHashIndex
from lookalike.domain.errors import LookalikeError
from tests.cluster_fakes import MemoryVectors
from tests.vector_servers import MilvusBackEnd, PineconeBackEnd

RADII = (0, 1, 4, 8, 10, 12, 31, 64)
MOST_ROW = (1 << 58) - 1


@dataclass(frozen=True)
class BackEnd:
    """Makes an index; small segments are only looked up by their tables where scans are barred."""

    tail_rows: int = 1 << 15
    bars_scans: bool = False
    most_beside: int = 1 << 20

    def open(self, monkeypatch):
        if self.bars_scans:
            monkeypatch.setattr(hashes_tables, "scan_ns", lambda hashes: 4e6)
        return MemoryHashIndex(tail_rows=self.tail_rows, most_beside=self.most_beside)


class Exact:
    """Hashes as vectors that are searched exactly, in the process."""

    def open(self, monkeypatch):
        return VectorHashIndex(MemoryVectors(DIM))


@dataclass(frozen=True)
class Server:
    """Hashes in a vector server, which is emptied before each test."""

    back_end: object
    opened: list = field(default_factory=list)

    def open(self, monkeypatch):
        self.back_end.begin()
        index = VectorHashIndex(self.back_end.connect())
        self.opened.append(index)
        return index

    def end(self):
        for index in self.opened:
            index.close()
        self.opened.clear()
        self.back_end.end()


SERVERS = {
    "milvus": Server(MilvusBackEnd(dim=DIM)),
    "pinecone": Server(PineconeBackEnd(dim=DIM)),
}
BACK_ENDS = {
    "memory-tail": BackEnd(),
    "memory-scanned": BackEnd(tail_rows=40),
    "memory-tables": BackEnd(tail_rows=40, bars_scans=True),
    "memory-aside": BackEnd(tail_rows=20, most_beside=0),
    "vectors": Exact(),
}
PARAMETERS = [
    *(pytest.param(one, id=name) for name, one in BACK_ENDS.items()),
    *(
        pytest.param(one, id=name, marks=pytest.mark.service if name == "milvus" else ())
        for name, one in SERVERS.items()
    ),
]


@pytest.fixture(scope="module", autouse=True)
def ended():
    yield
    for server in SERVERS.values():
        server.end()


@pytest.fixture(params=PARAMETERS)
def index(request, monkeypatch):
    return request.param.open(monkeypatch)


def crowd(rng, count):
    """Return hashes around a few others, some of them equal: as flat pictures and copies are."""
    centres = rng.integers(0, 2**64, 6, dtype=np.uint64)
    hashes = centres[rng.integers(0, 6, count)]
    for _ in range(14):
        bits = np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)
        hashes = np.where(rng.random(count) < 0.5, hashes ^ bits, hashes)
    return np.where(rng.random(count) < 0.1, centres[0], hashes)


def expected(known, query, radius):
    """Return rows and distances of a dict's hashes, nearest first, ties by row."""
    near = [((value ^ int(query)).bit_count(), row) for row, value in known.items()]
    near = sorted(pair for pair in near if pair[0] <= radius)
    return [row for _, row in near], [distance for distance, _ in near]


def check(index, known, queries, radii=RADII):
    assert len(index) == len(known)
    for radius in radii:
        answers = index.within(queries, radius=radius)
        assert len(answers) == len(queries)
        for query, hits in zip(queries, answers, strict=True):
            assert hits.rows.dtype == np.int64
            assert hits.distances.dtype == np.uint8
            assert (hits.rows.tolist(), hits.distances.tolist()) == expected(known, query, radius)


@pytest.mark.parametrize("most_row", [400, MOST_ROW], ids=["dense", "hashed"])
def test_everything_near_is_found_and_nothing_else(index, most_row):
    rng = np.random.default_rng(1)
    rows = rng.permutation(400) if most_row == 400 else rng.integers(0, most_row, 400)
    hashes = crowd(rng, 400)
    for at in range(0, 400, 30):
        index.add(rows[at : at + 30], hashes[at : at + 30])
    known = dict(zip(rows.tolist(), hashes.tolist(), strict=True))
    queries = np.concatenate((hashes[::40], rng.integers(0, 2**64, 10, dtype=np.uint64)))
    check(index, known, queries)
    for query in queries:
        check(index, known, np.asarray([query]), radii=(10,))
    assert index.exact_radius >= 10 or index.exact_radius == -1


@pytest.mark.parametrize("most", [1, 5, 24])
def test_the_nearest_of_many_are_those_of_lowest_rows_where_bits_tie(index, most):
    rng = np.random.default_rng(5)
    rows, hashes = rng.permutation(300), crowd(rng, 300)
    index.add(rows, hashes)
    known = dict(zip(rows.tolist(), hashes.tolist(), strict=True))
    queries = np.concatenate((hashes[:30], rng.integers(0, 2**64, 5, dtype=np.uint64)))
    for radius in (0, 10, 30):
        for query, hits in zip(
            queries, index.within(queries, radius=radius, most=most), strict=True
        ):
            near, distances = expected(known, query, radius)
            assert hits.rows.tolist() == near[:most]
            assert hits.distances.tolist() == distances[:most]


def test_the_ends_of_the_range_are_hashes_too(index):
    hashes = np.asarray([0, 2**64 - 1, 1, 2**63], np.uint64)
    rows = np.asarray([0, 1, MOST_ROW, 7])
    for _ in range(12):
        index.add(rows, hashes)
    check(index, dict(zip(rows.tolist(), hashes.tolist(), strict=True)), hashes)


def test_adding_again_replaces(index):
    rng = np.random.default_rng(2)
    rows = np.arange(100)
    first, second = crowd(rng, 100), crowd(rng, 100)
    index.add(rows, first)
    index.add(rows, first)
    check(index, dict(zip(rows.tolist(), first.tolist(), strict=True)), first[:5])
    index.add(rows, second)
    check(index, dict(zip(rows.tolist(), second.tolist(), strict=True)), second[:5])


def test_the_last_of_a_row_given_twice_counts(index):
    hashes = np.asarray([5, 9, 2**40], np.uint64)
    index.add(np.asarray([3, 3, 1]), hashes)
    check(index, {3: 9, 1: 2**40}, hashes)


def test_what_is_removed_is_not_found_until_it_comes_back(index):
    rng = np.random.default_rng(3)
    rows, hashes = np.arange(200), crowd(rng, 200)
    index.add(rows, hashes)
    index.remove(rows[::2])
    index.remove(np.asarray([0, 0, 10**12]))
    known = dict(zip(rows[1::2].tolist(), hashes[1::2].tolist(), strict=True))
    check(index, known, hashes[:6])
    index.add(rows[:1], hashes[9:10])
    check(index, known | {0: int(hashes[9])}, hashes[:10])
    index.remove(rows)
    check(index, {}, hashes[:3])


def test_nothing_is_asked_of_nothing(index):
    none = np.zeros(0, np.uint64)
    index.add(np.zeros(0, np.int64), none)
    index.remove(np.zeros(0, np.int64))
    assert list(index.within(none, radius=10)) == []
    check(index, {}, np.asarray([1, 2], np.uint64))
    index.add(np.arange(50), np.arange(50, dtype=np.uint64))
    assert list(index.within(none, radius=10)) == []


def test_arguments_stay_as_they_are(index):
    rng = np.random.default_rng(4)
    rows, hashes = rng.permutation(90), crowd(rng, 90)
    before = rows.copy(), hashes.copy()
    for array in (rows, hashes):
        array.flags.writeable = False
    index.add(rows, hashes)
    index.within(hashes, radius=10)
    index.remove(rows[:3])
    assert np.array_equal(rows, before[0])
    assert np.array_equal(hashes, before[1])


@pytest.mark.parametrize(
    ("rows", "hashes"),
    [
        (np.arange(2), np.zeros(3, np.uint64)),
        (np.asarray([-1]), np.zeros(1, np.uint64)),
        (np.zeros((1, 1), np.int64), np.zeros((1, 1), np.uint64)),
        (np.arange(1), np.asarray([-1], np.int64)),
        (np.arange(1), np.asarray([0.5])),
    ],
    ids=["lengths", "negative row", "two axes", "signed", "fractions"],
)
def test_bad_pairs_are_refused_and_change_nothing(index, rows, hashes):
    index.add(np.arange(3), np.arange(3, dtype=np.uint64))
    with pytest.raises(LookalikeError):
        index.add(rows, hashes)
    check(index, {0: 0, 1: 1, 2: 2}, np.asarray([0], np.uint64))


def test_a_negative_radius_is_refused(index):
    with pytest.raises(LookalikeError):
        index.within(np.zeros(1, np.uint64), radius=-1)


STEPS = st.lists(
    st.tuples(st.sampled_from(("add", "remove")), st.integers(0, 2**32), st.integers(1, 60)),
    max_size=14,
)


@pytest.mark.parametrize("back_end", BACK_ENDS.values(), ids=BACK_ENDS)
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_it_is_a_dictionary_with_a_distance(back_end, steps):
    with pytest.MonkeyPatch.context() as patch:
        index = back_end.open(patch)
        known = {}
        for act, seed, count in steps:
            rng = np.random.default_rng(seed)
            rows = rng.integers(0, 150, count)
            if act == "add":
                hashes = crowd(np.random.default_rng(seed % 3), 60)[:count]
                index.add(rows, hashes)
                known |= dict(zip(rows.tolist(), hashes.tolist(), strict=True))
            else:
                index.remove(rows)
                known = {row: known[row] for row in known.keys() - set(rows.tolist())}
        check(index, known, crowd(np.random.default_rng(0), 4), radii=(0, 10))
