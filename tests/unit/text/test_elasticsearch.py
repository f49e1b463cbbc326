"""What needs no server: addresses, retries, refusals, compiled queries, documents."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.text_elasticsearch_bulk import Write, write_all
from lookalike.adapters.text_elasticsearch_errors import Refusal
from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions
from lookalike.adapters.text_elasticsearch_provision import ElasticsearchProvisioner
from lookalike.adapters.text_elasticsearch_query import (
    MOST_CLAUSES,
    MOST_TERMS,
    ElasticsearchQueries,
    conditions_of,
    filter_queries,
    portions,
    terms_query,
)
from lookalike.adapters.text_elasticsearch_schema import filter_fields, mappings, text_fields
from lookalike.adapters.text_elasticsearch_server import Answer, SearchServer
from lookalike.adapters.text_elasticsearch_versions import bm25_scale, check_version
from lookalike.adapters.text_schema import BLANK, FIELDS, Analysis, TextIndexSettings, stem_field
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
    QueryError,
    StoreError,
    UsageError,
)
from lookalike.domain.filter_terms import FilterTerms, clauses_of, meets, terms_of
from lookalike.domain.filters import Between, Filter, OneOf
from lookalike.domain.hits import Selection
from lookalike.domain.queries import TextMatch
from lookalike.ports.text import TextDocument
from tests.filter_cases import FILTERS, RECORDS

OPTIONS = ElasticsearchOptions.from_url("elasticsearch://127.0.0.1:1/photos")


class ScriptedTransport:
    """Answers in order what a test wrote down, and keeps what was asked."""

    def __init__(self, *script):
        self.script = [*script]
        self.asked = []

    def send(self, request, *, timeout_s):
        self.asked.append(request)
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def close(self):
        pass


def scripted(*script, **settings):
    """Return a server and its transport; time passes only while it sleeps."""
    transport, now = ScriptedTransport(*script), [0.0]
    options = ElasticsearchOptions.from_url("elasticsearch://127.0.0.1:1/photos", **settings)

    def sleep(seconds):
        now[0] += seconds

    server = SearchServer(options, transport=transport, clock=lambda: now[0], sleep=sleep)
    return server, transport


def refused(status, kind, reason="why"):
    return Answer(status, {"error": {"root_cause": [{"type": kind, "reason": reason}]}})


# ── Addresses and settings ───────────────────────────────────────────────────────────────


def test_an_address_is_read():
    options = ElasticsearchOptions.from_url(
        "opensearch+https://one,[::1]:9300/my-photos?shards=3",
        username="me",
        password="hidden",
        refresh="5s",
        request_timeout_s=2,
    )
    assert options.hosts == ("one:9200", "[::1]:9300")
    assert options.urls == ("https://one:9200", "https://[::1]:9300")
    assert options.name == "opensearch+https://one:9200,[::1]:9300/my-photos"
    assert (options.shards, options.refresh, options.request_timeout_s) == (3, "5s", 2.0)
    assert "hidden" not in repr(options)
    plain = ElasticsearchOptions.from_url("elasticsearch://host/photos?tls=true")
    assert plain.urls == ("https://host:9200",)
    assert ElasticsearchOptions.from_url("elasticsearch://host/photos", refresh=True).refresh


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://host/photos", {}),
        ("elasticsearch+ftp://host/photos", {}),
        ("elasticsearch://host", {}),
        ("elasticsearch:///photos", {}),
        ("elasticsearch://host/Photos", {}),
        ("elasticsearch://host/a/b", {}),
        ("elasticsearch://host:port/photos", {}),
        ("elasticsearch://me:secret@host/photos", {}),
        ("elasticsearch://host/photos?tls=maybe", {}),
        ("elasticsearch://host/photos", {"refresh": "sometimes"}),
        ("elasticsearch://host/photos", {"shards": 0}),
        ("elasticsearch://host/photos", {"shards": "many"}),
        ("elasticsearch://host/photos", {"shards": True}),
        ("elasticsearch://host/photos", {"request_timeout_s": 0}),
        ("elasticsearch://host/photos", {"username": "a", "api_key": "b"}),
        ("opensearch://host/photos", {"api_key": "b"}),
    ],
)
def test_a_wrong_address_or_setting_is_refused(url, settings):
    with pytest.raises(UsageError) as refusal:
        ElasticsearchOptions.from_url(url, **settings)
    assert "secret" not in str(refusal.value)


def test_an_unknown_setting_is_named_with_its_neighbour():
    with pytest.raises(UsageError) as refusal:
        ElasticsearchOptions.from_url("elasticsearch://host/photos", shard=1)
    assert "shards" in refusal.value.hint


@pytest.mark.parametrize(
    ("product", "module"), [("elasticsearch", "elasticsearch"), ("opensearch", "opensearchpy")]
)
def test_a_missing_client_is_a_missing_extra(monkeypatch, product, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as missing:
        SearchServer(ElasticsearchOptions.from_url(f"{product}://host/photos"))
    assert missing.value.extra == product


# ── Refusals and retries ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(401, "security_exception"), BackendAuthError),
        (refused(403, "security_exception"), BackendAuthError),
        (refused(404, "index_not_found_exception"), BackendMissingError),
        (Answer(404, {"error": "alias [photos] missing"}), BackendMissingError),
        (refused(429, "circuit_breaking_exception"), BackendTimeoutError),
        (Answer(503, "no master"), BackendTimeoutError),
        (
            refused(429, "cluster_block_exception", "disk usage exceeded flood-stage watermark"),
            BackendFullError,
        ),
        (refused(403, "cluster_block_exception", "[FORBIDDEN/12/read-only-allow-delete]"),
         BackendFullError),
        (refused(403, "cluster_block_exception", "[FORBIDDEN/8/index write (api)]"),
         BackendTimeoutError),
        (refused(400, "validation_exception", "[1000]/[1000] maximum normal shards open"),
         BackendFullError),
        (refused(400, "query_shard_exception", "No mapping found for [row]"), BackendSchemaError),
        (refused(400, "parsing_exception"), BackendError),
        (Answer(500, None), BackendError),
        (Answer(500, {"error": {"type": "x", "reason": "r", "caused_by":
                                {"reason": "No space left on device"}}}), BackendFullError),
    ],
)  # fmt: skip
def test_a_refusal_becomes_the_error_that_says_what_to_do(answer, error):
    server, _ = scripted(answer)
    with pytest.raises(BackendError) as raised:
        server.call("GET", "/photos/_search")
    assert type(raised.value) is error
    assert raised.value.backend == "elasticsearch://127.0.0.1:1/photos"


def test_what_may_pass_is_tried_again_until_the_deadline():
    busy, done = refused(429, "es_rejected_execution_exception"), Answer(200, {"ok": True})
    server, transport = scripted(busy, busy, Answer(503, None), done)
    assert server.call("GET", "/x") == {"ok": True}
    assert len(transport.asked) == 4
    server, transport = scripted(busy, request_timeout_s=5)
    with pytest.raises(BackendTimeoutError):
        server.call("GET", "/x")
    assert 3 <= server.now() <= 5
    assert len(transport.asked) < 15


def test_an_address_where_nothing_answers_is_tried_a_few_times():
    server, transport = scripted(BackendUnreachableError("x", "refused"))
    with pytest.raises(BackendUnreachableError):
        server.call("GET", "/x")
    assert len(transport.asked) == 3
    server, transport = scripted(BackendTimeoutError("x", "late"))
    with pytest.raises(BackendTimeoutError):
        server.call("GET", "/x")
    assert len(transport.asked) == 1


def test_a_status_that_is_allowed_is_no_error():
    server, _ = scripted(refused(404, "index_not_found_exception"))
    assert server.call("GET", "/x", allowed=(404,)) is None


# ── Writing many documents ───────────────────────────────────────────────────────────────


def bulk_answer(statuses):
    """Answer each document of a bulk request by what stands at its id; else it is written."""

    def answer(request):
        items = []
        for line in request.body.splitlines():
            head = json.loads(line)
            kind = next(iter(head))
            if kind in {"index", "update", "delete"} and "_id" in head[kind]:
                status, error = statuses.get(head[kind]["_id"], (200, None))
                content = {"status": status} | ({"error": error} if error else {})
                if kind == "delete" and status == 404 and not error:
                    content["result"] = "not_found"
                items.append({kind: content})
        errors = any(next(iter(item.values()))["status"] >= 400 for item in items)
        return Answer(200, {"errors": errors, "items": items})

    return answer


def ids(request):
    heads = [json.loads(line) for line in request.body.splitlines()]
    return [next(iter(head.values()))["_id"] for head in heads if {"index", "delete"} & {*head}]


WRITES = [Write.index(str(row), {"row": row}) for row in range(5)]


def test_requests_are_bounded_in_documents_and_bytes():
    server, transport = scripted(bulk_answer({}), bulk_docs=2)
    write_all(server, WRITES)
    assert [ids(request) for request in transport.asked] == [["0", "1"], ["2", "3"], ["4"]]
    assert transport.asked[0].params["require_alias"] == "true"
    server, transport = scripted(bulk_answer({}), bulk_bytes=3 * len(WRITES[0].lines))
    write_all(server, WRITES)
    assert [len(ids(request)) for request in transport.asked] == [3, 2]
    write_all(server, [])
    assert len(transport.asked) == 2


def test_only_what_was_refused_for_load_is_sent_again():
    busy = {"1": (429, {"type": "es_rejected_execution_exception"}), "3": (503, None)}
    server, transport = scripted(
        bulk_answer(busy), bulk_answer({"3": (503, None)}), bulk_answer({})
    )
    write_all(server, WRITES)
    assert [ids(request) for request in transport.asked] == [[*"01234"], [*"13"], ["3"]]


def test_load_that_lasts_is_a_timeout():
    busy = {"1": (429, {"type": "es_rejected_execution_exception", "reason": "queue full"})}
    server, _ = scripted(bulk_answer(busy), write_timeout_s=7)
    with pytest.raises(BackendTimeoutError, match="queue full"):
        write_all(server, WRITES)
    assert server.now() <= 7


def test_a_refused_document_is_named():
    wrong = {"2": (400, {"type": "document_parsing_exception", "reason": "immense term"})}
    server, _ = scripted(bulk_answer(wrong))
    with pytest.raises(StoreError, match="row 2 is refused: immense term"):
        write_all(server, WRITES)
    foreign = {"2": (400, {"type": "strict_dynamic_mapping_exception", "reason": "no field x"})}
    server, _ = scripted(bulk_answer(foreign))
    with pytest.raises(BackendSchemaError):
        write_all(server, WRITES)
    missing = {"2": (404, {"type": "index_not_found_exception", "reason": "no such index"})}
    server, _ = scripted(bulk_answer(missing))
    with pytest.raises(BackendMissingError):
        write_all(server, [Write.delete("2")])


def test_what_is_not_there_need_not_be_deleted_or_changed():
    gone = {"type": "document_missing_exception", "reason": "document missing"}
    server, _ = scripted(bulk_answer({"1": (404, None), "2": (404, gone)}))
    write_all(server, [Write.delete("1"), Write.merge("2", {}, is_making=False)])


def test_too_large_a_request_is_halved_down_to_the_document_at_fault():
    def answer(request):
        return Answer(413, None) if b'"_id":"3"' in request.body else bulk_answer({})(request)

    server, transport = scripted(answer)
    with pytest.raises(StoreError, match="row 3 is too large"):
        write_all(server, WRITES)
    assert [ids(request) for request in transport.asked] == [
        [*"01234"],
        [*"01"],
        [*"234"],
        ["2"],
        [*"34"],
        ["3"],
    ]


# ── Versions ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("versions", "is_fine"), [(["8.19.1", "9.0.0"], True), (["7.17.9", "8.1.0"], False)]
)
def test_every_node_must_be_of_a_version_that_is_spoken_to(versions, is_fine):
    nodes = {str(at): {"version": version} for at, version in enumerate(versions)}
    server, _ = scripted(Answer(200, {"nodes": nodes}))
    if is_fine:
        assert check_version(server) == versions[0]
        return
    with pytest.raises(BackendVersionError):
        check_version(server)
    (finding,) = ElasticsearchProvisioner(server).check()
    assert finding.state == "error"
    assert finding.remedy


@pytest.mark.parametrize(("number", "scale"), [("2.19.1", 1.0), ("3.1.0", 2.2)])
def test_scores_of_newer_opensearch_are_brought_to_the_same_scale(number, scale):
    transport = ScriptedTransport(
        Answer(200, {"version": {"distribution": "opensearch", "number": number}})
    )
    options = ElasticsearchOptions.from_url("opensearch://host/photos")
    assert bm25_scale(SearchServer(options, transport=transport)) == scale
    assert bm25_scale(scripted(Answer(200, {}))[0]) == 1.0


# ── Queries ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def queries():
    return ElasticsearchQueries(Analysis(), TextIndexSettings())


def test_very_long_queries_are_bounded(queries):
    long = queries.compile(TextMatch(words=" ".join(f"word{n}x" for n in range(500))))
    assert len(long["bool"]["should"]) == MOST_CLAUSES // 16 * 16
    with pytest.raises(QueryError):
        queries.compile(TextMatch(phrases=(" ".join(f"word{n}x" for n in range(500)),)))
    phrases = tuple(f"one two{n} three" for n in range(30))
    both = queries.compile(TextMatch(words="dog", phrases=phrases))
    assert len(both["bool"]["must"]) == 30
    named = queries.named(
        TextMatch(phrases=phrases, words="dog " * 3 + " ".join(f"w{n}" for n in range(40)))
    )
    parts = [*portions(named)]
    assert {name for part in parts for name in part} == {*named}
    assert len(parts) > 1


def test_more_terms_than_one_query_takes_are_parted():
    query = terms_query("row", range(MOST_TERMS + 1))
    assert len(query["bool"]["should"]) == 2
    assert terms_query("row", []) == {"match_none": {}}


def test_a_mask_is_refused():
    import numpy as np

    assert conditions_of(None) == []
    with pytest.raises(StoreError):
        conditions_of(Selection(Filter(), np.ones(3, np.bool_)))


@given(record=RECORDS, filter_=FILTERS)
def test_compiled_filters_mean_what_the_domain_says(record, filter_):
    values = terms_of(record)
    document = filter_fields(0, values)
    met = all(is_met(document, query) for query in filter_queries(filter_))
    assert met == meets(values, clauses_of(filter_))


@given(st.sampled_from([float("inf"), float("-inf"), float("nan")]), st.booleans(), st.booleans())
def test_bounds_without_end_mean_what_the_domain_says(bound, is_low, is_negated):
    sides = {"low": bound} if is_low else {"high": bound}
    filter_ = Filter((Between("width", **sides, is_negated=is_negated),))
    values = FilterTerms(frozenset(), {"width": 10.0})
    met = all(is_met(filter_fields(0, values), query) for query in filter_queries(filter_))
    assert met == meets(values, clauses_of(filter_))


def is_met(document, query):
    """Tell whether a document meets a query as the server would."""
    ((kind, content),) = query.items()
    if kind == "match_none":
        return False
    if kind == "exists":
        return content["field"] in document
    if kind == "bool":
        should = content.get("should", [])
        return (
            all(is_met(document, inner) for inner in content.get("must", []))
            and not any(is_met(document, inner) for inner in content.get("must_not", []))
            and (not should or any(is_met(document, inner) for inner in should))
        )
    ((field, wanted),) = content.items()
    if kind == "terms":
        return bool({*document[field]} & {*wanted})
    assert kind == "range"
    low, high = wanted.get("gte", float("-inf")), wanted.get("lte", float("inf"))
    return field in document and low <= document[field] <= high


# ── Documents ────────────────────────────────────────────────────────────────────────────


def test_a_document_holds_terms_and_a_sign_where_there_are_none():
    made = text_fields(
        TextDocument(7, caption="The Dogs' café", path="trip/goldenGate.jpg", ocr_text="!!!"),
        Analysis(),
    )
    assert made["caption"] == "the dogs cafe"
    assert made["caption_stem"] == "the dog cafe"
    assert made["path"] == "trip golden gate jpg goldengate"
    assert made["ocr_text"] == made["title_stem"] == BLANK
    assert made["words"] == ["cafe", "dogs"]
    assert {*made} <= {*mappings()["properties"]}
    assert all(made[name] and made[stem_field(name)] for name in FIELDS)


def test_filter_fields_can_be_carried_by_json():
    terms = frozenset({"site:\udcff.org", "type:odd", "type:photo", "licence:cc-by-4.0",
                       "licence:cc-by", "licences:cc", "licence:gpl-3.0-only"})  # fmt: skip
    made = filter_fields(1, FilterTerms(terms, {"width": 3.0, "taken": float("nan")}))
    json.dumps(made).encode("ascii")
    assert made["facets"] == ["licence:cc-by-4.0", "licence:gpl-3.0-only", "type:photo"]
    assert "taken" not in made
    (query,) = filter_queries(Filter((OneOf("site", frozenset({"\udcff.org"})),)))
    assert is_met(made, query)
    assert filter_fields(1, None) == {"row": 1}


def test_a_refusal_without_words_still_says_its_status():
    assert "status 500" in Refusal.of(500, None).error("x").message
