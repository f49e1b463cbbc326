"""Hashes as vectors: their cosines, how few searches are made, and where they stand."""

import numpy as np
import pytest

from lookalike.adapters.hashes_vectors import DIM, VectorHashIndex
from lookalike.domain.hits import NO_ROW, RowHits
from lookalike.ports.vectors import VectorStats
from lookalike.settings.cluster import load_cluster
from lookalike.wiring.backends import HASHES, REGIONS, Backends
from tests.cluster_fakes import MemoryVectors


class Counting(MemoryVectors):
    """Counts searches and their queries, and holds back hits beyond a number."""

    most = 1 << 20

    def __init__(self):
        super().__init__(DIM)
        self.asked = []

    def search(self, queries, *, k, selection=None, query_kind="image"):
        self.asked.append((len(queries), k))
        hits = super().search(queries, k=k)
        hits.rows[:, self.most :] = NO_ROW
        hits.scores[:, self.most :] = -np.inf
        return hits


class Sealed(Counting):
    def stats(self):
        return VectorStats("ivf", DIM, len(self), 0, 0, sealed_rows=len(self))


@pytest.fixture
def vectors():
    return Counting()


def filled(vectors, hashes):
    index = VectorHashIndex(vectors)
    index.add(np.arange(len(hashes)), np.asarray(hashes, np.uint64))
    return index


def test_what_stands_in_the_index_is_exact_in_fp16_and_has_unit_norm(vectors):
    hashes = np.random.default_rng(1).integers(0, 2**64, 50, dtype=np.uint64)
    filled(vectors, hashes)
    stored = np.stack([vectors.vectors[row] for row in range(50)])
    assert (stored.astype(np.float16) == stored).all()
    assert ((stored**2).sum(axis=1) == 1).all()
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    assert (stored @ stored.T == 1 - bits / 32).all()


def test_many_hashes_are_one_search(vectors):
    rng = np.random.default_rng(2)
    hashes = rng.integers(0, 2**64, 500, dtype=np.uint64)
    index = filled(vectors, hashes)
    assert all(len(one.rows) == 1 for one in index.within(hashes, radius=10, most=24))
    assert vectors.asked == [(500, 25)]


def test_only_crowded_hashes_are_asked_again_and_together(vectors):
    rng = np.random.default_rng(3)
    lonely = rng.integers(0, 2**64, 30, dtype=np.uint64)
    index = filled(vectors, [*lonely, *[7] * 40, *[2**63 + 9] * 40])
    asked = np.asarray([*lonely, 7, 2**63 + 9], np.uint64)
    answers = index.within(asked, radius=10, most=24)
    assert vectors.asked == [(32, 25), (2, 100)]
    assert answers[30].rows.tolist() == list(range(30, 54))
    assert answers[31].rows.tolist() == list(range(70, 94))


def test_a_store_that_returns_only_so_many_hits_ends_the_asking(vectors):
    vectors.most = 90
    index = filled(vectors, [5] * 300)
    (answer,) = index.within(np.asarray([5], np.uint64), radius=3)
    assert len(answer.rows) == 90
    assert len(vectors.asked) == 2


def test_equal_scores_are_left_to_equal_hashes():
    rng = np.random.default_rng(4)
    near = np.uint64(1) << rng.permutation(64).astype(np.uint64)
    scores = {}

    class Watching(MemoryVectors):
        def search(self, queries, *, k, selection=None, query_kind="image"):
            hits = super().search(queries, k=k)
            scores["seen"] = hits.scores[0]
            return RowHits(hits.rows, hits.scores)

    index = filled(Watching(DIM), near)
    (answer,) = index.within(np.zeros(1, np.uint64), radius=1)
    assert answer.distances.tolist() == [1] * 64
    assert len(np.unique(scores["seen"][:64])) == 64


def test_an_index_that_looks_into_cells_promises_nothing():
    assert filled(Counting(), [1, 2]).exact_radius == 64
    assert filled(Sealed(), [1, 2]).exact_radius == -1


CLUSTER = """
name = "c"
[catalog]
url = "cassandra://a/c"
[text]
url = "elasticsearch://a/c"
[blobs]
url = "file:///c"
[vectors]
"""


@pytest.mark.parametrize(
    ("vectors", "hashes", "regions"),
    [
        ('url = "milvus://a:1/c"', "milvus://a:1/c_hashes", "milvus://a:1/c_regions"),
        (
            'url = "pinecone://c/n"\nhost = "https://c.example.org"',
            "pinecone://c-hashes/n",
            "pinecone://c/n-regions",
        ),
    ],
    ids=["milvus", "pinecone"],
)
def test_hashes_stand_beside_the_vectors(tmp_path, vectors, hashes, regions):
    path = tmp_path / "lookalike.toml"
    path.write_text(CLUSTER + vectors, encoding="utf-8")
    backends = Backends(load_cluster(path, {}))
    assert backends.provisioner(HASHES, 896).name == hashes
    assert backends.provisioner(REGIONS, 896).name == regions
