"""The text and the filter index share documents, connections and writers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from lookalike.adapters.text_elasticsearch import ElasticsearchTextIndex
from lookalike.adapters.text_elasticsearch_filters import ElasticsearchFilterIndex
from lookalike.adapters.text_elasticsearch_server import SearchServer
from lookalike.adapters.text_schema import BLANK
from lookalike.domain.errors import StoreError
from lookalike.domain.filter_terms import terms_of
from lookalike.domain.filters import Between, Filter, OneOf
from lookalike.domain.images import ImageFacts, ImageRecord, Row, Source, image_id
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument
from tests.search_clusters import CLUSTERS, SearchClusters

pytestmark = pytest.mark.service

DOG = TextMatch(words="dog")
HUGE_ROW = 2**63 - 1


@pytest.fixture(scope="module")
def clusters():
    with SearchClusters() as clusters:
        yield clusters


@pytest.fixture(params=CLUSTERS)
def server(request, clusters):
    server = SearchServer(clusters.fresh(request.param))
    server.hold()
    yield server
    server.release()


@pytest.fixture
def texts(server):
    index = ElasticsearchTextIndex.open(server)
    yield index
    index.close()


@pytest.fixture
def filters(server):
    index = ElasticsearchFilterIndex.open(server)
    yield index
    index.close()


def record(row, **changes):
    facts = ImageFacts(image_id(str(row).encode()), 640, 480, 1000, "jpeg")
    return replace(ImageRecord(Row(row), facts, first_seen=5.0), **changes)


def document(row, caption="dog"):
    return TextDocument(row, caption=caption, terms=terms_of(record(row)))


def listed(filters, *conditions):
    return filters.listing(filters.select(Filter(conditions)), k=100).rows.tolist()


def test_a_row_known_to_filters_alone_has_no_text(texts, filters):
    filters.append([record(1)])
    filters.flush()
    assert listed(filters) == [1]
    assert not texts.has(np.array([1])).any()
    assert len(texts) == 0
    texts.add([document(1)])
    texts.commit(1)
    assert texts.has(np.array([1])).all()


def test_texts_bring_what_filters_ask_and_both_change_apart(texts, filters):
    texts.add([document(1), document(HUGE_ROW)])
    texts.commit(1)
    assert listed(filters, Between("width", 640, 640)) == [HUGE_ROW, 1]
    filters.update([record(1, sources=(Source("/a", site="example.org"),))])
    selection = filters.select(Filter((OneOf("site", frozenset({"org"})),)))
    assert texts.search(DOG, k=2, selection=selection).rows.tolist() == [[1, -1]]
    assert texts.search(DOG, k=2).rows.tolist() == [[1, HUGE_ROW]]
    filters.remove(np.array([HUGE_ROW]))
    assert texts.search(DOG, k=2).rows.tolist() == [[1, -1]]
    texts.remove(np.array([1]))
    texts.commit(2)
    assert listed(filters) == []


def test_markers_and_notes_are_never_found(texts, filters):
    texts.add([document(1), document(2)])
    texts.remove(np.array([2]))
    texts.commit(3)
    filters.save(4)
    assert (len(texts), listed(filters)) == (1, [1])
    assert listed(filters, OneOf("color", frozenset({"red"}), is_negated=True)) == [1]
    assert texts.search(TextMatch(words=BLANK), k=2).rows.tolist() == [[-1, -1]]
    assert texts.suggest(BLANK) == ()
    assert filters.facets(filters.select(Filter()))["type"] == {"photo": 1}
    texts.optimize()
    assert (len(texts), texts.seq) == (1, 3)


def test_many_threads_write_through_one_index(texts):
    def write(worker):
        rows = range(worker * 100, worker * 100 + 50)
        for row in rows:
            texts.add([document(row)])
        texts.commit(worker)
        return texts.has(np.asarray(rows)).all()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(write, range(4)))
    texts.refresh()
    assert (len(texts), texts.seq) == (200, 3)


def test_more_hits_than_one_search_returns(texts):
    count = 10_050
    texts.add([TextDocument(row, labels="dog") for row in range(count)])
    texts.commit(1)
    rows = texts.search(DOG, k=count).rows[0]
    assert rows.tolist() == list(range(count))
    scores = texts.score(DOG, rows)
    assert (scores == scores[0]).all()
    assert texts.has(rows).all()


def test_the_connections_close_with_the_last_index(clusters):
    server = SearchServer(clusters.fresh("elasticsearch"))
    texts, filters = ElasticsearchTextIndex.open(server), ElasticsearchFilterIndex.open(server)
    texts.close()
    texts.close()
    assert listed(filters) == []
    filters.close()


def test_a_reader_cannot_write(server):
    texts = ElasticsearchTextIndex.open(server, is_writer=False)
    for call in (
        lambda: texts.add([document(1)]),
        lambda: texts.remove(np.array([1])),
        lambda: texts.commit(1),
        texts.optimize,
    ):
        with pytest.raises(StoreError, match="reading"):
            call()
    with pytest.raises(StoreError, match="not a row"):
        ElasticsearchTextIndex.open(server).add([TextDocument(-1)])
