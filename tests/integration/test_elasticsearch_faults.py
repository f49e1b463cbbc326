"""Clusters that are away, slow, full, foreign or refuse: typed errors, in time."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from lookalike.adapters.text_elasticsearch import ElasticsearchTextIndex
from lookalike.adapters.text_elasticsearch_bulk import Write, write_all
from lookalike.adapters.text_elasticsearch_filters import ElasticsearchFilterIndex
from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions
from lookalike.adapters.text_elasticsearch_provision import ElasticsearchProvisioner
from lookalike.adapters.text_elasticsearch_server import SearchServer
from lookalike.domain.errors import (
    BackendAuthError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    StoreError,
)
from lookalike.domain.filters import Filter
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument
from services import run
from tests.real_services import need
from tests.search_clusters import CLUSTERS, SearchClusters

DOG = TextMatch(words="dog")


@pytest.fixture(scope="module")
def clusters():
    with SearchClusters() as clusters:
        yield clusters


@pytest.fixture(params=CLUSTERS)
def product(request):
    return request.param


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


# ── Without a server ─────────────────────────────────────────────────────────────────────


def test_an_address_where_nothing_listens(product):
    options = ElasticsearchOptions.from_url(f"{product}://127.0.0.1:{free_port()}/photos")
    server = SearchServer(options)
    started = time.monotonic()
    with pytest.raises(BackendUnreachableError) as error:
        ElasticsearchTextIndex.open(server)
    assert time.monotonic() - started < 5
    assert error.value.backend == options.name
    (finding,) = ElasticsearchProvisioner(server).check()
    assert (finding.state, finding.remedy != "") == ("error", True)
    with pytest.raises(BackendUnreachableError):
        ElasticsearchProvisioner(server).prepare()
    server.close()


class _Guard(BaseHTTPRequestHandler):
    """Lets in who has the password, as a cluster with security does."""

    def do_GET(self):
        is_known = self.headers["authorization"] == "Basic bWU6c2VjcmV0"
        body = json.dumps({"error": {"type": "security_exception", "reason": "no"}}).encode()
        self.send_response(404 if is_known else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def test_wrong_credentials(product):
    guard = HTTPServer(("127.0.0.1", 0), _Guard)
    threading.Thread(target=guard.serve_forever, daemon=True).start()
    url = f"{product}://127.0.0.1:{guard.server_port}/photos"
    try:
        for password, error in (("wrong", BackendAuthError), ("secret", BackendMissingError)):
            options = ElasticsearchOptions.from_url(url, username="me", password=password)
            server = SearchServer(options)
            with pytest.raises(error) as raised:
                ElasticsearchTextIndex.open(server)
            assert password not in str(raised.value)
            server.close()
    finally:
        guard.shutdown()
        guard.server_close()


# ── Against real servers ─────────────────────────────────────────────────────────────────


@pytest.mark.outage
@pytest.mark.service
def test_a_server_that_hangs_is_a_timeout_within_the_deadline(product, clusters):
    options = clusters.fresh(product, request_timeout_s=1.0, write_timeout_s=1.5)
    index = ElasticsearchTextIndex.open(SearchServer(options))
    run.pause(product)
    try:
        started = time.monotonic()
        with pytest.raises(BackendTimeoutError):
            index.search(DOG, k=3)
        assert time.monotonic() - started < 1.6
    finally:
        run.resume(product)
    index.add([TextDocument(1, caption="dog")])
    index.commit(1)
    assert index.search(DOG, k=1).rows.tolist() == [[1]]
    index.close()


@pytest.mark.service
def test_an_index_that_was_not_made(product, clusters):
    options = clusters.options(product)
    server = SearchServer(options)
    for kind in (ElasticsearchTextIndex, ElasticsearchFilterIndex):
        with pytest.raises(BackendMissingError) as error:
            kind.open(server)
        assert "init-cluster" in error.value.hint
    made = ElasticsearchTextIndex.open(SearchServer(clusters.fresh(product)))
    server.call("DELETE", f"/{made._alias}-000001")
    for call in (
        lambda: made.add([TextDocument(1)]),
        lambda: made.remove(np.array([1])),
        lambda: made.commit(1),
        lambda: made.search(DOG, k=1),
        lambda: len(made),
    ):
        with pytest.raises(BackendMissingError):
            call()
    made.close()
    server.close()


@pytest.mark.service
def test_what_somebody_else_made_is_left_alone(product, clusters):
    options = clusters.options(product)
    server, alias = SearchServer(options), options.alias
    provisioner = ElasticsearchProvisioner(server)
    server.call("PUT", f"/{alias}", {})
    for call in (lambda: ElasticsearchTextIndex.open(server), provisioner.prepare):
        with pytest.raises(BackendSchemaError):
            call()
    assert provisioner.check()[-1].state == "error"
    server.call("DELETE", f"/{alias}")
    other = {"mappings": {"_meta": {"lookalike": {"version": 0}}}, "aliases": {alias: {}}}
    server.call("PUT", f"/{alias}-old", other)
    with pytest.raises(BackendSchemaError, match="version 0"):
        ElasticsearchTextIndex.open(server)
    server.call("DELETE", f"/_index_template/{alias}")
    server.call(
        "PUT", f"/_index_template/{alias}", {"index_patterns": [f"{alias}-0*"], "priority": 501}
    )
    with pytest.raises(BackendSchemaError, match="template"):
        provisioner.prepare()
    server.call("DELETE", f"/_index_template/{alias}")
    server.close()


@pytest.mark.service
def test_another_product_is_not_taken_for_it(product):
    other = CLUSTERS[1 - CLUSTERS.index(product)]
    options = ElasticsearchOptions.from_url(f"{product}{need(other).removeprefix(other)}/photos")
    server = SearchServer(options)
    with pytest.raises(BackendVersionError) as error:
        ElasticsearchProvisioner(server).prepare()
    assert f"{other}://" in error.value.hint
    server.close()


@pytest.mark.service
def test_preparing_makes_what_is_missing_once(product, clusters):
    options = clusters.options(product)
    server, alias = SearchServer(options), options.alias
    provisioner = ElasticsearchProvisioner(server)
    assert provisioner.check()[-1].state == "error"
    try:
        assert len(provisioner.prepare()) == 2
        assert provisioner.prepare() == []
        assert {finding.state for finding in provisioner.check()} == {"ok"}
        server.call("DELETE", f"/{alias}-000001/_alias/{alias}")
        assert provisioner.prepare() == [f"alias {alias} of {alias}-000001"]
        changed = ElasticsearchProvisioner(SearchServer(clusters.options(product, shards=2)))
        assert changed.name != provisioner.name
    finally:
        server.call("DELETE", f"/_index_template/{alias}", allowed=(404,))
        server.close()


@pytest.mark.service
def test_a_full_disk_says_so_at_once(product, clusters):
    options = clusters.fresh(product)
    server = SearchServer(options)
    text, filters = ElasticsearchTextIndex.open(server), ElasticsearchFilterIndex.open(server)
    text.add([TextDocument(1, caption="dog")])
    text.commit(1)
    block = {"index.blocks.read_only_allow_delete": "true"}
    server.call("PUT", f"/{options.alias}/_settings", block)
    started = time.monotonic()
    with pytest.raises(BackendFullError):
        text.add([TextDocument(2, caption="dog")])
    with pytest.raises(BackendFullError):
        text.commit(2)
    assert time.monotonic() - started < 2
    assert text.search(DOG, k=1).rows.tolist() == [[1]]
    assert filters.listing(filters.select(Filter()), k=1).total == 0
    found = {finding.name: finding for finding in ElasticsearchProvisioner(server).check()}
    assert found["text room"].state == "error"
    server.call("PUT", f"/{options.alias}/_settings", {"index.blocks.read_only_allow_delete": None})
    text.add([TextDocument(2, caption="dog")])
    text.commit(2)
    assert text.search(DOG, k=2).rows.tolist() == [[1, 2]]
    text.close()
    filters.close()


@pytest.mark.service
def test_a_refused_document_is_named_and_the_others_are_written(product, clusters):
    server = SearchServer(clusters.fresh(product))
    index = ElasticsearchTextIndex.open(server)
    writes = [Write.index("5", {"width": "broad"}), Write.index("6", {"row": 6, "is_text": True})]
    with pytest.raises(StoreError, match="row 5"):
        write_all(server, writes)
    index.commit(1)
    assert index.has(np.array([5, 6])).tolist() == [False, True]
    index.close()


@pytest.mark.service
@pytest.mark.parametrize("refresh", ["wait_for", "1s"])
def test_other_refresh_policies_show_a_commit_in_time(product, clusters, refresh):
    index = ElasticsearchTextIndex.open(SearchServer(clusters.fresh(product, refresh=refresh)))
    index.add([TextDocument(1, caption="dog")])
    index.commit(1)
    deadline = time.monotonic() + (0 if refresh == "wait_for" else 10)
    while (found := index.search(DOG, k=1).rows.tolist()) == [[-1]]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found == [[1]]
    index.close()
