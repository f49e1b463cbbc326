"""A rebuild switches between two searches and loses nothing that was written meanwhile."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from lookalike.adapters.text_elasticsearch import ElasticsearchTextIndex
from lookalike.adapters.text_elasticsearch_rebuild import ElasticsearchRebuild
from lookalike.adapters.text_elasticsearch_schema import text_fields
from lookalike.adapters.text_elasticsearch_server import SearchServer
from lookalike.adapters.text_schema import Analysis
from lookalike.domain.errors import BackendError, BackendSchemaError
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument
from tests.search_clusters import CLUSTERS, SearchClusters

pytestmark = pytest.mark.service

DOG = TextMatch(words="dog")


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
def index(server):
    index = ElasticsearchTextIndex.open(server)
    index.add([TextDocument(row, caption="dog") for row in range(50)])
    index.commit(50)
    yield index
    index.close()


def found(index):
    rows = index.search(DOG, k=1000).rows[0]
    return rows[rows >= 0].tolist()


@contextmanager
def repeated(action):
    """Do something over and over in a thread of its own; what it raises is raised at the end."""
    is_over, errors, steps = threading.Event(), [], []

    def loop():
        while not is_over.is_set() and not errors:
            try:
                action(len(steps))
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
            steps.append(None)

    def wait(count):
        """Wait until it was done so many times more."""
        wanted = len(steps) + count
        while len(steps) < wanted and not errors:
            time.sleep(0.01)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield wait
    finally:
        is_over.set()
        thread.join()
    if errors:
        raise errors[0]


def test_no_search_sees_an_empty_or_a_doubled_index(server, index):
    def look(step):
        assert found(index) == list(range(50))
        assert len(index) == 50

    with repeated(look):
        rebuild = ElasticsearchRebuild.begin(server)
        rebuild.texts.add([TextDocument(row, caption="dog") for row in range(50)])
        old = rebuild.switch()
        rebuild.drop(old)
    assert found(index) == list(range(50))
    index.add([TextDocument(50, caption="dog")])
    index.commit(51)
    assert len(index) == 51
    index.refresh()
    assert index.seq == 51


def test_what_was_written_meanwhile_is_taken_over(server, index):
    """One writer adds and removes all the while; the rebuild reads what is known at its begin."""
    written = dict.fromkeys(range(50), "dog")

    def write(step):  # first what the catalog would know, then the index
        row = step % 80
        if step % 3 == 1:
            written.pop(row, None)
            index.remove(np.array([row]))
        else:
            written[row] = f"step{step}"
            index.add([TextDocument(row, caption="dog", title=written[row])])
        index.commit(51 + step)

    with repeated(write) as wait:
        wait(5)
        rebuild = ElasticsearchRebuild.begin(server)
        known = [*written.copy().items()]
        wait(20)
        for some in (known[::2], known[1::2]):
            rebuild.texts.add(
                [TextDocument(row, caption="dog", title=title) for row, title in some]
            )
        rebuild.drop(rebuild.switch())
    assert sorted(found(index)) == sorted(written)
    for row, title in written.items():
        assert index.score(TextMatch(phrases=(title,)), np.array([row]))[0] > 0
    index.optimize()
    assert sorted(found(index)) == sorted(written)


def test_one_rebuild_at_a_time_and_an_abandoned_one_leaves_nothing(server, index):
    rebuild = ElasticsearchRebuild.begin(server)
    with pytest.raises(BackendError, match="another rebuild"):
        ElasticsearchRebuild.begin(server)
    rebuild.texts.close()
    assert ElasticsearchRebuild.abandon(server) == f"{server.options.alias}-000002"
    assert ElasticsearchRebuild.abandon(server) is None
    ElasticsearchRebuild.begin(server).texts.close()
    ElasticsearchRebuild.abandon(server)
    assert found(index) == list(range(50))


def test_a_switch_that_fails_lets_the_writers_go_on(server, index, monkeypatch):
    rebuild = ElasticsearchRebuild.begin(server)

    def fail(seq):
        raise BackendError("x", "broken")

    with monkeypatch.context() as patch, pytest.raises(BackendError, match="broken"):
        patch.setattr(rebuild.texts, "commit", fail)
        rebuild.switch()
    index.add([TextDocument(50, caption="dog")])
    index.commit(51)
    assert found(index) == list(range(51))
    rebuild.texts.close()
    ElasticsearchRebuild.abandon(server)


def test_an_index_of_the_version_before_is_made_anew(server):
    """Version 1 knew no keywords, creators and parts of words in pictures."""
    alias, meta = server.options.alias, {"_meta": {"lookalike": {"version": 1}}}
    server.call("PUT", f"/{alias}/_mapping", meta)
    with pytest.raises(BackendSchemaError) as error:
        ElasticsearchTextIndex.open(server)
    assert "--rebuild-words" in error.value.hint
    rebuild = ElasticsearchRebuild.begin(server)
    rebuild.texts.add([TextDocument(0, caption="dog", keywords="pets")])
    late = text_fields(TextDocument(1, caption="dog", ocr_text="NO PARKING"), Analysis())
    older = {
        name: value
        for name, value in late.items()
        if not name.startswith(("keywords", "creator", "ocr_parts"))
    }
    server.call("PUT", f"/{alias}/_doc/1", older)
    rebuild.drop(rebuild.switch())
    index = ElasticsearchTextIndex.open(server)
    assert found(index) == [0, 1]
    parts = index.search(TextMatch(ocr_phrases=("o park",)), k=5).rows[0]
    assert parts[parts >= 0].tolist() == [1]
    index.close()
