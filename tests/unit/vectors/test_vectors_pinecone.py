"""The Pinecone adapter against the tests' own server: faults, limits, lateness, retries."""

import dataclasses
import socket
import sys
import time

import numpy as np
import pytest

from lookalike.adapters.vectors_pinecone import PineconeVectorIndex
from lookalike.adapters.vectors_pinecone_filter import metadata_of, query_filter_of
from lookalike.adapters.vectors_pinecone_options import PineconeOptions
from lookalike.adapters.vectors_pinecone_provision import PineconeProvisioner
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    MissingExtraError,
    StoreError,
    UsageError,
)
from lookalike.domain.filter_terms import AnyTerm, FilterTerms, NoTerm
from lookalike.domain.filters import NUMBER_FIELDS, Between
from tests.pinecone_server import (
    KEY,
    MOST_BYTES,
    MOST_METADATA_BYTES,
    PineconeServer,
    RefusedError,
    checked_metadata,
    passes,
)

DIM = 24
URL = "pinecone://pictures/main"


@pytest.fixture
def server():
    server = PineconeServer()
    yield server
    server.close()


@pytest.fixture
def options(server):
    return PineconeOptions.from_url(URL, api_key=KEY, control_host=server.url, timeout_s=5)


@pytest.fixture
def index(options):
    assert PineconeProvisioner(options, dim=DIM).prepare() == ["index pictures"]
    assert PineconeProvisioner(options, dim=DIM).prepare() == []
    index = PineconeVectorIndex.open(options, dim=DIM)
    yield index
    index.close()


@pytest.fixture
def quick_retries(monkeypatch):
    """Let the client try again at once."""
    monkeypatch.setattr("pinecone._internal.http_client._retry_sleep", lambda _seconds: None)


def unit(count, seed=0, dim=DIM):
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_url_and_settings_become_options():
    options = PineconeOptions.from_url(URL, api_key="secret", batch_rows=50, timeout_s=3)
    assert (options.index, options.namespace, options.batch_rows) == ("pictures", "main", 50)
    assert options.name == URL
    assert "secret" not in repr(options)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://pictures/main", {}),
        ("pinecone://pictures", {}),
        ("pinecone://Pictures/main", {}),
        ("pinecone://pictures:80/main", {}),
        ("pinecone://pictures/a/b", {}),
        ("pinecone://key@pictures/main", {}),
        (URL, {"username": "u"}),
        (URL, {"batch": 3}),
        (URL, {"batch_rows": 1001}),
        (URL, {"timeout_s": 0}),
        (URL, {"host": "ftp://x"}),
        (URL, {"host": "https://key@x"}),
        (URL, {"namespace": "x"}),
    ],
)
def test_bad_urls_and_settings_are_refused(url, settings):
    with pytest.raises(UsageError):
        PineconeOptions.from_url(url, **settings)


def test_clauses_become_a_filter():
    clauses = (
        AnyTerm(frozenset({"color:red", "color:blue"})),
        NoTerm(frozenset({"object:1:cat"}), frozenset({"object:3:cat"})),
        NoTerm(frozenset()),
        Between("width", 100, 200),
        Between("seen", 5.5, None, is_negated=True),
    )
    assert query_filter_of(clauses) == {
        "$and": [
            {"described": {"$eq": True}},
            {"terms": {"$in": ["color:blue", "color:red"]}},
            {
                "$or": [
                    {"terms": {"$nin": ["object:1:cat"]}},
                    {"terms": {"$in": ["object:3:cat"]}},
                ]
            },
            {"width": {"$gte": 100}},
            {"width": {"$lte": 200}},
            {"$or": [{"seen": {"$lt": 5.5}}]},
        ]
    }


@pytest.mark.parametrize(
    ("clause", "does_pass"),
    [
        (AnyTerm(frozenset()), False),
        (Between("width"), True),
        (Between("width", is_negated=True), False),
        (Between("width", float("nan")), False),
        (Between("width", float("nan"), is_negated=True), True),
        (Between("width", float("inf")), False),
        (Between("width", None, float("inf")), True),
        (Between("width", float("-inf"), float("inf"), is_negated=True), False),
    ],
)
def test_clauses_at_the_edge(clause, does_pass):
    metadata = metadata_of(FilterTerms(frozenset(), dict.fromkeys(NUMBER_FIELDS, 1.0)))
    assert passes(metadata, query_filter_of([clause])) is does_pass


def test_the_server_refuses_what_is_not_published():
    for filter_ in ({"a": {"$regex": "x"}}, {"$not": {}}, {"a": {"$gt": "x"}}, {"$and": []}):
        with pytest.raises(RefusedError):
            passes({"a": 1}, filter_)
    with pytest.raises(RefusedError):
        checked_metadata({"a": None})
    assert passes({"genre": ["comedy", "documentary"]}, {"genre": "comedy"})
    assert not passes({"genre": ["comedy", "documentary"]}, {"genre": {"$nin": ["comedy"]}})
    assert passes({"a": 1}, {"b": {"$exists": False}})


def test_an_image_seen_on_thousands_of_sites_fits(server, index):
    sites = {f"site:{'sub.' * (at % 30)}example{at}.org" for at in range(5000)}
    values = FilterTerms(frozenset(sites | {"color:red"}), dict.fromkeys(NUMBER_FIELDS, 1e12 / 3))
    metadata = metadata_of(values)
    assert checked_metadata(metadata)
    assert "color:red" in metadata["terms"]
    index.add(np.arange(60), unit(60), [values] * 60)
    sizes = [size for _, path, size in server.project.requests if path == "/vectors/upsert"]
    assert len(sizes) > 1
    assert max(sizes) < MOST_BYTES
    assert len(index) == 60
    assert MOST_METADATA_BYTES > 40_000


def test_writes_go_in_batches(server, index):
    index.add(np.arange(250), unit(250))
    upserts = [one for one in server.project.requests if one[1] == "/vectors/upsert"]
    assert len(upserts) == 3
    assert index.fetch(np.arange(250)).shape == (250, DIM)


def test_large_answers_are_fetched_in_parts(server, options):
    PineconeProvisioner(options, dim=896).prepare()
    index = PineconeVectorIndex.open(options, dim=896)
    vectors = unit(400, dim=896).astype(np.float16).astype(np.float32)
    index.add(np.arange(400), vectors)
    hits = index.search(vectors[:1], k=300)
    expected = np.argsort(-(vectors @ vectors[0]), kind="stable")[:300]
    assert hits.rows[0].tolist() == expected.tolist()
    assert any(path == "/vectors/fetch" for _, path, _ in server.project.requests)
    index.close()


def test_own_writes_are_seen_though_the_service_shows_them_late(server, index):
    server.project.lag_s = 0.4
    vectors = unit(5)
    index.add(np.arange(5), vectors)
    assert index.has(np.arange(6)).tolist() == [True] * 5 + [False]
    assert index.search(vectors, k=1).rows.ravel().tolist() == [0, 1, 2, 3, 4]
    index.remove(np.array([2]))
    assert not index.has(np.array([2])).any()
    assert 2 not in index.search(vectors[2:3], k=5).rows[0].tolist()
    with pytest.raises(StoreError):
        index.fetch(np.array([2]))
    index.add(np.array([2]), vectors[2:3])
    assert index.search(vectors[2:3], k=1).rows.tolist() == [[2]]
    np.testing.assert_allclose(index.fetch(np.array([2])), vectors[2:3], atol=1e-3)


def test_a_search_does_not_wait_for_ever(server, options):
    PineconeProvisioner(options, dim=DIM).prepare()
    index = PineconeVectorIndex.open(dataclasses.replace(options, wait_s=0.3), dim=DIM)
    server.project.lag_s = 60
    index.add(np.arange(2), unit(2))
    begin = time.monotonic()
    assert (index.search(unit(1), k=1).rows == -1).all()
    assert time.monotonic() - begin < 2
    index.close()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_tried_again(server, index, status, quick_retries):
    server.project.faults = [(status, {})] * 2
    index.add(np.arange(3), unit(3))
    server.project.faults = [(status, {})] * 2
    assert index.search(unit(3), k=1).rows.ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, BackendError),
        (401, BackendAuthError),
        (402, BackendFullError),
        (403, BackendAuthError),
        (404, BackendMissingError),
        (413, BackendError),
        (429, BackendTimeoutError),
        (500, BackendTimeoutError),
    ],
)
def test_lasting_faults_become_our_errors(server, index, status, expected, quick_retries):
    server.project.faults = [(status, {})] * 20
    with pytest.raises(expected, match=URL) as caught:
        index.search(unit(1), k=1)
    assert type(caught.value) is expected
    assert caught.value.hint
    assert KEY not in str(caught.value)


def test_a_slow_service_and_one_that_says_wait_time_out(server, options):
    PineconeProvisioner(options, dim=DIM).prepare()
    index = PineconeVectorIndex.open(dataclasses.replace(options, timeout_s=0.4), dim=DIM)
    index.add(np.arange(1), unit(1))
    for fault in ({"delay_s": 1.0}, {"faults": [(429, {"retry-after": "2"})]}):
        for name, value in fault.items():
            setattr(server.project, name, value)
        begin = time.monotonic()
        with pytest.raises(BackendTimeoutError):
            index.search(unit(1), k=1)
        assert time.monotonic() - begin < 0.9
        server.project.delay_s = 0.0
    index.close()


def test_nothing_there_is_told_within_the_deadline(quick_retries):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = PineconeOptions.from_url(
        URL, api_key=KEY, control_host=f"http://127.0.0.1:{port}", timeout_s=8
    )
    with pytest.raises((BackendUnreachableError, BackendTimeoutError)):
        PineconeVectorIndex.open(options, dim=DIM)
    (finding,) = PineconeProvisioner(options, dim=DIM).check()
    assert finding.state == "error"


def test_keys_that_are_missing_or_wrong(server):
    for key in ("", "wrong", "in valid\n"):
        options = PineconeOptions.from_url(URL, api_key=key, control_host=server.url)
        with pytest.raises(BackendAuthError) as caught:
            PineconeVectorIndex.open(options, dim=DIM)
        assert "LOOKALIKE_VECTORS_API_KEY" in caught.value.hint


def test_a_missing_index_or_one_of_another_shape(server, options):
    with pytest.raises(BackendMissingError) as caught:
        PineconeVectorIndex.open(options, dim=DIM)
    assert "init-cluster" in caught.value.hint
    PineconeProvisioner(options, dim=DIM + 1).prepare()
    with pytest.raises(BackendSchemaError, match="25 numbers, the encoder makes 24"):
        PineconeProvisioner(options, dim=DIM).prepare()
    assert PineconeProvisioner(options, dim=DIM).check()[0].state == "error"
    field = server.project.indexes["pictures"]["schema"]["fields"]["_values"]
    field |= {"dimension": DIM, "metric": "euclidean"}
    with pytest.raises(BackendSchemaError, match="euclidean"):
        PineconeVectorIndex.open(options, dim=DIM)


def test_the_host_may_be_named_and_the_control_plane_left_alone(server, options, index):
    direct = dataclasses.replace(options, host=server.url, control_host="http://127.0.0.1:1")
    again = PineconeVectorIndex.open(direct, dim=DIM)
    again.add(np.arange(2), unit(2))
    assert len(again) == 2
    assert [one.state for one in PineconeProvisioner(direct, dim=DIM).check()] == ["ok", "ok"]
    again.close()


def test_answers_of_another_version(server, options):
    server.project.indexes["pictures"] = {"name": "pictures", "dimension": DIM}
    with pytest.raises(BackendVersionError):
        PineconeVectorIndex.open(options, dim=DIM)


def test_a_missing_client_names_the_extra(monkeypatch, options):
    monkeypatch.setitem(sys.modules, "pinecone", None)
    with pytest.raises(MissingExtraError) as caught:
        PineconeVectorIndex.open(options, dim=DIM)
    assert "lookalike[pinecone]" in caught.value.hint
