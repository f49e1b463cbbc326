"""The embedded and the cluster text index give the same hits with the same scores."""

import random

import numpy as np
import pytest

from lookalike.adapters.text_elasticsearch import ElasticsearchTextIndex
from lookalike.adapters.text_elasticsearch_server import SearchServer
from lookalike.adapters.text_tantivy import TantivyTextIndex
from lookalike.domain.hits import NO_ROW
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument
from tests.search_clusters import CLUSTERS, SearchClusters

TOLERANCE = 1e-5
"""Relative; sums of single-precision scores in another order differ by less."""

WORDS = [
    *("dog", "dogs", "running", "runs", "run", "beach", "boat", "boats", "red", "ball", "child"),
    *("children", "playing", "plays", "mountain", "snow", "city", "street", "the", "a", "of"),
    *("with", "café", "bridge", "golden", "gate", "people", "sitting", "green", "field", "water"),
]


def text(random_, most):
    return " ".join(random_.choices(WORDS, k=random_.randint(0, most)))


def documents(seed):
    """Make documents some of whose fields are empty, short or longer than is stored exactly."""
    random_ = random.Random(seed)
    for row in range(400):
        yield TextDocument(
            row,
            caption=text(random_, 12),
            title=text(random_, 5) if random_.random() < 0.3 else "",
            page_text=text(random_, 300) if random_.random() < 0.2 else "",
            labels=text(random_, 3),
            keywords=text(random_, 4),
            creator=text(random_, 2) if random_.random() < 0.2 else "",
            ocr_text=text(random_, 60) if random_.random() < 0.4 else "",
            path=f"{random_.choice(WORDS)}/IMG_{row}.jpg",
        )


def matches(seed):
    random_ = random.Random(seed)
    for _ in range(40):
        yield TextMatch(words=text(random_, 4) or "dog")
        yield TextMatch(words=text(random_, 3), phrases=(text(random_, 3) or "red ball",))
        yield TextMatch(words="dog water", excluded=(text(random_, 2) or "snow",))
        read = text(random_, 3) or "no parking"
        begin = random_.randrange(max(1, len(read) - 5))
        part = read[begin : begin + random_.randint(1, 9)].strip() or "no"
        yield TextMatch(words=text(random_, 2), ocr_phrases=(part,))
        yield TextMatch(words="dog water run", ocr_excluded=(part,))


@pytest.fixture(scope="module")
def clusters():
    with SearchClusters() as clusters:
        yield clusters


@pytest.mark.service
@pytest.mark.parametrize("product", CLUSTERS)
@pytest.mark.parametrize("shards", [1, 3])
def test_hits_and_scores_are_those_of_the_embedded_index(tmp_path, clusters, product, shards):
    embedded = TantivyTextIndex.open(tmp_path / "text", is_writer=True)
    server = SearchServer(clusters.fresh(product, shards=shards))
    cluster = ElasticsearchTextIndex.open(server)
    for index in (embedded, cluster):
        index.add(list(documents(1)))
        index.commit(1)
    found = 0
    for match in matches(2):
        ours, theirs = (index.search(match, k=500) for index in (embedded, cluster))
        rows = ours.rows[0][ours.rows[0] != NO_ROW]
        assert {*rows.tolist()} == {*theirs.rows[0].tolist()} - {NO_ROW}
        found += rows.size
        scores = cluster.score(match, rows)
        np.testing.assert_allclose(scores, ours.scores[0][: rows.size], rtol=TOLERANCE)
        np.testing.assert_allclose(  # so the order is the same, but among equals
            theirs.scores[0][: rows.size], ours.scores[0][: rows.size], rtol=TOLERANCE
        )
        some = rows[:20]
        assert [{*names} for names in cluster.matched_terms(match, some)] == [
            {*names} for names in embedded.matched_terms(match, some)
        ]
    assert found > 5000
    assert list(cluster.correct("mountian brigde")) == list(embedded.correct("mountian brigde"))
    for index in (embedded, cluster):
        index.close()
