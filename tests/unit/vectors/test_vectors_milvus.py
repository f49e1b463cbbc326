"""What of the Milvus adapter needs no server: URLs, expressions, errors."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.vectors_milvus import MilvusVectorIndex
from lookalike.adapters.vectors_milvus_client import translated
from lookalike.adapters.vectors_milvus_filter import described, expression_of
from lookalike.adapters.vectors_milvus_options import INDEX_TYPES, MilvusOptions
from lookalike.adapters.vectors_milvus_schema import MilvusIndex, index_params, pq_parts
from lookalike.adapters.vectors_ranking import best_of, exact_scores, is_cut_in_tie
from lookalike.adapters.vectors_terms import bounded_terms
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    MissingExtraError,
    UsageError,
)
from lookalike.domain.filter_terms import AnyTerm, NoTerm
from lookalike.domain.filters import Between

URL = "milvus://db.example.org:19531/pictures"


def test_a_url_and_settings_become_options():
    options = MilvusOptions.from_url(
        URL, username="root", password="secret", index_type="IVF_PQ", nprobe=7, timeout_s=3
    )
    assert (options.host, options.port, options.collection) == ("db.example.org", 19531, "pictures")
    assert (options.index_type, options.nprobe, options.timeout_s) == ("IVF_PQ", 7, 3.0)
    assert options.name == URL
    assert options.token == "root:secret"
    assert "secret" not in repr(options) + options.name
    assert MilvusOptions.from_url("milvus://h/c").port == 19530
    assert MilvusOptions.from_url("milvus://[::1]/c", is_tls=True).uri == "https://[::1]:19530"
    assert MilvusOptions.from_url("milvus://h/c", api_key="key").token == "key"


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://h/c", {}),
        ("milvus://h", {}),
        ("milvus:///c", {}),
        ("milvus://h/a/b", {}),
        ("milvus://h/1st", {}),
        ("milvus://h:port/c", {}),
        ("milvus://u:p@h/c", {}),
        ("milvus://h/c?nlist=3", {}),
        (URL, {"nlists": 3}),
        (URL, {"nlist": "3"}),
        (URL, {"nlist": True}),
        (URL, {"nlist": 0}),
        (URL, {"nlist": 70_000}),
        (URL, {"refine": 0.5}),
        (URL, {"index_type": "FLAT"}),
        (URL, {"consistency": "strong"}),
        (URL, {"is_tls": 1}),
        (URL, {"timeout_s": -1}),
        (URL, {"database": "a b"}),
        (URL, {"host": "other"}),
        (URL, {"api_key": "k", "username": "u"}),
    ],
)
def test_bad_urls_and_settings_are_refused_with_a_hint(url, settings):
    with pytest.raises(UsageError) as caught:
        MilvusOptions.from_url(url, **settings)
    assert "u:p" not in str(caught.value)


def test_clauses_become_an_expression():
    clauses = (
        AnyTerm(frozenset({"color:red", "color:blue"})),
        NoTerm(frozenset({"object:1:cat"}), frozenset({"object:3:cat"})),
        Between("width", 100, None),
        Between("seen", None, 5.5, is_negated=True),
    )
    assert expression_of(clauses) == (
        "described == true"
        ' and array_contains_any(terms, ["color:blue", "color:red"])'
        ' and (not array_contains_any(terms, ["object:1:cat"])'
        ' or array_contains_any(terms, ["object:3:cat"]))'
        " and (width >= 100.0) and (not (seen <= 5.5))"
    )


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (AnyTerm(frozenset()), "row < 0"),
        (NoTerm(frozenset()), "row >= 0"),
        (Between("width"), "row >= 0"),
        (Between("width", is_negated=True), "row < 0"),
        (Between("width", float("-inf"), float("inf")), "row >= 0"),
        (Between("width", float("nan")), "(row < 0)"),
        (Between("width", float("inf")), "(width >= 1.7e+308)"),
    ],
)
def test_clauses_at_the_edge(clause, expected):
    assert expression_of([clause]) == f"described == true and {expected}"


@given(st.text())
def test_no_text_ends_its_string_early(text):
    expression = expression_of([AnyTerm(frozenset({text}))])
    inside = expression.partition("[")[2].removesuffix("])")
    assert inside[0] == inside[-1] == '"'
    at = 1
    while at < len(inside) - 1:
        assert inside[at] != '"'
        at += 2 if inside[at] == "\\" else 1
    assert at == len(inside) - 1


def test_what_came_without_terms_is_not_described():
    assert described(None)["described"] is False


@given(st.frozensets(st.text(max_size=12), max_size=30), st.integers(0, 10), st.integers(0, 60))
def test_terms_are_bounded(terms, most, most_bytes):
    kept = bounded_terms(terms, most=most, most_bytes=most_bytes, most_term_bytes=9)
    assert kept == sorted(set(kept))
    assert set(kept) <= terms
    assert len(kept) <= most
    assert sum(len(term.encode()) for term in kept) <= most_bytes
    assert all(len(term.encode()) <= 9 for term in kept)


def test_long_sites_go_first():
    terms = frozenset({"site:a.example.org", "site:example.org", "type:photo", "color:red"})
    assert bounded_terms(terms, most=3, most_bytes=999, most_term_bytes=99) == [
        "color:red",
        "site:example.org",
        "type:photo",
    ]


def test_indexes_are_built_and_searched_with_what_they_know():
    assert pq_parts(896) == 112
    assert pq_parts(7) == 1
    for kind in INDEX_TYPES:
        options = MilvusOptions.from_url(URL, index_type=kind)
        assert index_params(options, 896)
        index = MilvusIndex(kind, 100)
        params = index.search_params(options, nprobe=10**6, limit=500)
        assert params.get("nprobe", 100) == 100
        assert params.get("ef", 500) >= 500


class RefusedError(Exception):
    def __init__(self, code, message="", compatible_code=0):
        super().__init__(message)
        self.code, self.message, self.compatible_code = code, message, compatible_code


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (100, "can't find collection", BackendMissingError),
        (65535, "collection not found[collection=x]", BackendMissingError),
        (101, "collection not loaded", BackendMissingError),
        (9, "deny to write, reason: memory quota exhausted", BackendFullError),
        (11, "disk limit", BackendFullError),
        (8, "request is rejected by limiter", BackendTimeoutError),
        (1, "service not ready", BackendTimeoutError),
        (2, "Fail connecting to server on h:1", BackendUnreachableError),
        (1400, "unauthenticated", BackendAuthError),
        (1401, "permission deny", BackendAuthError),
        (65535, "cannot parse expression", BackendError),
    ],
)
def test_refusals_become_our_errors(code, message, expected):
    error = translated("milvus://h:1/c", RefusedError(code, message))
    assert type(error) is expected
    assert str(error).startswith("milvus://h:1/c: ")
    assert error.hint


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UNAVAILABLE", BackendUnreachableError),
        ("DEADLINE_EXCEEDED", BackendTimeoutError),
        ("UNAUTHENTICATED", BackendAuthError),
        ("UNIMPLEMENTED", BackendVersionError),
        ("RESOURCE_EXHAUSTED", BackendTimeoutError),
        ("INTERNAL", BackendError),
    ],
)
def test_grpc_statuses_become_our_errors(status, expected):
    grpc = pytest.importorskip("grpc", reason="needs grpcio")
    code = getattr(grpc.StatusCode, status)
    assert type(translated("milvus://h:1/c", RefusedError(code))) is expected
    wrapped = RefusedError(2, "Fail connecting")
    wrapped.__cause__ = RefusedError(lambda: code)
    assert type(translated("milvus://h:1/c", wrapped)) is expected


def test_a_missing_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError) as caught:
        MilvusVectorIndex.open(MilvusOptions.from_url(URL), dim=4)
    assert "lookalike[milvus]" in caught.value.hint


def test_ranking_breaks_ties_by_row_and_keeps_each_once():
    rows, scores = best_of(np.array([9, 4, 7, 4]), np.array([1, 2, 2, 2], np.float32), 3)
    assert rows.tolist() == [4, 7, 9]
    assert scores.tolist() == [2, 2, 1]
    same = np.full((5, 3), 1 / 3, np.float32)
    assert len(set(exact_scores(same, same[0]).tolist())) == 1
    assert is_cut_in_tie(np.array([3, 2, 2], np.float32), 2)
    assert not is_cut_in_tie(np.array([3, 2, 1], np.float32), 2)
    assert not is_cut_in_tie(np.array([3], np.float32), 2)
