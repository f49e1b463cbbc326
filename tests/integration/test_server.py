"""The HTTP interface over the toy index: every route, its answers and its refusals."""

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from lookalike.server.schemas import (
    AddAnswer,
    ErrorEnvelope,
    RecordAnswer,
    SearchAnswer,
    StatusAnswer,
    SuggestAnswer,
)
from tests.integration.served import open_toy, serve_toy
from tests.toy import picture

GOLDEN = Path(__file__).with_name("test_server_openapi.json")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "http.md"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with open_toy(tmp_path_factory.mktemp("served")) as engine:
        yield engine


@pytest.fixture
def served(engine):
    return serve_toy(engine)


@pytest.fixture
def client(served):
    return served.client


def error(response, status, code):
    assert response.status_code == status, response.text
    detail = ErrorEnvelope.model_validate(response.json()).error
    assert detail.code == code
    assert detail.message
    return detail


def upload(data, name="query.jpg"):
    return {"file": (name, data, "application/octet-stream")}


def found(response):
    assert response.status_code == 200, response.text
    SearchAnswer.model_validate(response.json())
    return response.json()


def titles(answer):
    return [hit["path"].rsplit("/", 1)[-1] for hit in answer["hits"]]


def colors_of(client, answer):
    assert answer["hits"]
    return [client.get(f"/v1/images/{hit['id']}").json()["colors"] for hit in answer["hits"]]


def first_id(client, q="red"):
    return found(client.get("/v1/search", params={"q": q, "k": 1}))["hits"][0]["id"]


# ── Searching ────────────────────────────────────────────────────────────────────────────


def test_words_find_and_page_without_repeats(client):
    seen, cursor = [], None
    while True:
        params = {"q": "red", "k": 7} | ({"cursor": cursor} if cursor else {})
        answer = found(client.get("/v1/search", params=params))
        seen += [hit["id"] for hit in answer["hits"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == answer["total"] == 30
    assert answer["query"] == "red"
    assert answer["query_id"]


def test_filters_are_parameters_with_the_languages_names(client):
    answer = found(client.get("/v1/search", params={"q": "red", "color": "red", "min_width": 48}))
    assert all("red" in colors for colors in colors_of(client, answer))
    assert found(client.get("/v1/search", params={"min_width": 49}))["hits"] == []
    both = found(client.get("/v1/search", params=[("color", "red"), ("color", "blue")]))
    spelled = found(client.get("/v1/search?colour=red,blue"))
    assert both["total"] == spelled["total"] > 0
    assert error(client.get("/v1/search?q=red&colr=red"), 400, "unknown_name").hint
    assert "photo" in error(client.get("/v1/search?q=red&type=foto"), 400, "filter").hint


def test_explain_is_only_given_when_asked(client):
    assert "explanation" not in found(client.get("/v1/search?q=red"))
    assert found(client.get("/v1/search?q=red&explain=true"))["explanation"]["space"] == "toy"


def test_an_uploaded_picture_finds_itself_and_says_so(client):
    data = picture("red", seed=0)
    answer = found(client.post("/v1/search/image?k=3", files=upload(data)))
    assert titles(answer)[0] == "red-0000.jpg"
    assert answer["hits"][0]["copy_of"]["reason"] == "the same file"
    altered = picture("red", seed=0, quality=40)
    hits = found(client.post("/v1/search/image?k=1", files=upload(altered)))["hits"]
    assert hits[0]["copy_of"]["reason"] == "nearly the same picture"


def test_a_picture_comes_with_words_region_filters_and_pages(client):
    data = picture("red", seed=0)
    params = {"text": "blue color:blue", "region": "0.1,0.1,0.5,0.5", "k": 2}
    answer = found(client.post("/v1/search/image", params=params, files=upload(data)))
    assert all("blue" in colors for colors in colors_of(client, answer))
    assert not any("copy_of" in hit for hit in answer["hits"])
    more = params | {"cursor": answer["next"]}
    second = found(client.post("/v1/search/image", params=more, files=upload(data)))
    assert not set(titles(second)) & set(titles(answer))
    other = client.post("/v1/search/image", params=more, files=upload(picture("green")))
    error(other, 400, "cursor")


def test_a_picture_comes_by_url_through_the_fetcher_only(served):
    served.web.pages["https://example.org/a.jpg"] = picture("green", seed=1)
    body = {"url": "https://example.org/a.jpg"}
    answer = found(served.client.post("/v1/search/image", json=body))
    assert titles(answer)[0] == "green-0001.jpg"
    parts = {"images": [body], "k": 1}
    assert titles(found(served.client.post("/v1/search", json=parts)))[0] == "green-0001.jpg"
    inline = served.client.get("/v1/search", params={"q": "img:https://example.org/a.jpg", "k": 1})
    assert titles(found(inline))[0] == "green-0001.jpg"
    private = served.client.post("/v1/search/image", json={"url": "http://169.254.169.254/"})
    assert error(private, 422, "fetch").reason == "blocked-address"
    fetched = served.client.post("/v1/fetch", json=body)
    assert fetched.headers["content-type"] == "image/jpeg"
    served.web.pages["https://example.org/"] = b"<svg onload=alert(1)>"
    page = served.client.post("/v1/fetch", json={"url": "https://example.org/"})
    error(page, 415, "unsupported_media_type")


def test_more_like_these_and_less_like_those(client):
    wanted, refused = first_id(client, "blue"), first_id(client, "red")
    params = {"q": "1:red", "more": [wanted[:12]], "less": [refused], "k": 30}
    by_parameters = found(client.get("/v1/search", params=params))
    by_body = found(client.post("/v1/search", json=params))
    for answer in (by_parameters, by_body):
        assert refused not in [hit["id"] for hit in answer["hits"]]
    assert titles(by_parameters) == titles(by_body)
    plain = found(client.get("/v1/search", params={"q": "1:red", "k": 30}))
    assert titles(plain) != titles(by_body)
    assert plain["no_good_match"] is False
    for wrong in ({"diversity": 2}, {"more": ["a" * 32] * 33}):
        assert client.post("/v1/search", json={"q": "red", **wrong}).status_code in {400, 422}
    varied = found(client.get("/v1/search", params={"q": "1:red", "diversity": 0.9, "k": 5}))
    assert titles(varied) != titles(plain)[:5]


def test_a_json_search_mixes_ids_bytes_words_and_weights(client):
    red = first_id(client, "red")
    data = base64.b64encode(picture("blue", seed=2)).decode()
    body = {
        "q": "aspect:wide",
        "texts": [{"text": "blue", "weight": 2}],
        "images": [{"id": red, "weight": -0.5}, {"data": data}],
        "filter": {"color": ["blue"], "min_width": 10},
        "k": 5,
        "explain": True,
    }
    answer = found(client.post("/v1/search", json=body))
    assert all("blue" in colors for colors in colors_of(client, answer))
    assert answer["explanation"]
    for wrong in (
        {"images": [{"id": red, "data": data}]},
        {"images": [{}]},
        {"k": 0},
        {"k": "many"},
        {"k": 201, "q": "red"},
        {"surprise": 1},
        {"images": [{"id": red, "region": [0.5, 0.5, 0.9, 0.9]}]},
        {"images": [{"data": "not base64!"}]},
        {"texts": [{"text": "red", "weight": 1000}]},
        [],
    ):
        error(client.post("/v1/search", json=wrong), 422, "validation")
    error(client.post("/v1/search", content=b"{", headers={"content-type": "application/json"}),
          422, "validation")  # fmt: skip
    error(client.post("/v1/search", content=b"q=red"), 415, "unsupported_media_type")
    error(client.post("/v1/search", json={"filter": {"nope": 1}}), 400, "filter")


def test_what_is_wrong_with_a_query_is_said(client):
    error(client.get("/v1/search"), 400, "query")
    error(client.get("/v1/search?q=nope:1"), 400, "query")
    error(client.get("/v1/search?q=red&cursor=%00zz"), 400, "cursor")
    assert "200" in error(client.get("/v1/search?q=red&k=201"), 422, "validation").message
    error(client.get("/v1/search", params={"q": "a" * 2001}), 400, "query")
    many = {"texts": [{"text": "red"}] * 17}
    error(client.post("/v1/search", json=many), 400, "query")


def test_a_query_never_reads_files_of_the_server(client, engine):
    path = next(iter(engine.record(first_id(client)).sources)).uri
    for reference in (path, "/etc/passwd", "../../x.jpg", f'"{path}"'):
        error(client.get("/v1/search", params={"q": f"img:{reference}"}), 400, "query")


# ── Images ───────────────────────────────────────────────────────────────────────────────


def test_an_added_picture_is_found_at_once_read_back_and_removed(served):
    client, data = served.client, picture("purple", seed=4242)
    said = {"title": "A violet thing", "licence": "CC BY 4.0", "taken": "2021-05-04",
            "page_url": "https://www.example.org/violet"}  # fmt: skip
    added = client.post("/v1/images", files=upload(data), data=said)
    assert added.status_code == 202, added.text
    body = added.json()
    AddAnswer.model_validate(body)
    assert body["is_new"]
    assert added.headers["location"] == body["record"]
    image = body["id"]
    hits = found(client.get("/v1/search?q=violet+licence:cc+site:example.org"))["hits"]
    assert image in [hit["id"] for hit in hits]
    record = client.get(f"/v1/images/{image[:8]}").json()
    RecordAnswer.model_validate(record)
    assert (record["licence"], record["taken"][:10]) == ("cc-by-4.0", "2021-05-04")
    again = client.post("/v1/images", files=upload(data), data=said).json()
    assert (again["id"], again["is_new"]) == (image, False)
    assert client.delete(f"/v1/images/{image}").json() == {"removed": 1, "blocked": False}
    error(client.get(f"/v1/images/{image}"), 404, "not_found")
    error(client.get(f"/v1/images/{image}/thumbnail"), 404, "not_found")
    error(client.delete(f"/v1/images/{image}"), 404, "not_found")


def test_a_blocked_picture_does_not_come_back(served):
    data = picture("brown", seed=777)
    image = served.client.post("/v1/images", files=upload(data)).json()["id"]
    assert served.client.delete(f"/v1/images/{image}?block=true").json()["blocked"]
    refused = served.client.post("/v1/images", files=upload(data))
    assert error(refused, 422, "image").reason == "blocked"


def test_a_picture_is_added_from_the_web(served):
    url = "https://pictures.example.org/new.jpg"
    served.web.pages[url] = picture("orange", seed=31337)
    added = served.client.post("/v1/images", json={"url": url, "caption": "From the web"})
    assert added.status_code == 202
    record = served.client.get(added.json()["record"]).json()
    assert record["sources"][0]["url"] == url
    assert record["sources"][0]["site"] == "pictures.example.org"
    error(served.client.post("/v1/images", json={"caption": "x"}), 422, "validation")
    served.client.delete(added.json()["record"])


def test_what_is_no_picture_is_refused_with_its_reason(client):
    whole = picture("red", seed=9)
    bombs = {
        b"": {"empty-file"},
        b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>": {"unsupported-format"},
        b"just words, no picture": {"not-an-image"},
        whole[: len(whole) // 2]: {"truncated", "corrupt"},
    }
    for data, reasons in bombs.items():
        for route in ("/v1/images", "/v1/search/image"):
            assert error(client.post(route, files=upload(data)), 422, "image").reason in reasons
    error(client.post("/v1/images", files={"other": b"x"}), 422, "validation")
    error(client.post("/v1/images", data={"file": "text"}), 415, "unsupported_media_type")
    broken = client.post(
        "/v1/images", content=b"--x\r\nrubbish", headers={"content-type": "multipart/form-data"}
    )
    error(broken, 422, "validation")


def test_thumbnails_are_cached_for_ever_and_originals_are_typed_by_their_bytes(client):
    image = first_id(client)
    thumb = client.get(f"/v1/images/{image}/thumbnail")
    assert thumb.headers["content-type"] in {"image/webp", "image/jpeg"}
    assert "immutable" in thumb.headers["cache-control"]
    assert Image.open(io.BytesIO(thumb.content)).size == (48, 36)
    etag = {"if-none-match": thumb.headers["etag"]}
    assert client.get(f"/v1/images/{image}/thumbnail", headers=etag).status_code == 304
    original = client.get(f"/v1/images/{image}/original")
    assert original.headers["content-type"] == "image/jpeg"
    assert original.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in original.headers["content-security-policy"]
    saved = client.get(f"/v1/images/{image}/original?download=true")
    assert saved.headers["content-disposition"].startswith("attachment")


def test_an_original_that_could_hold_scripts_is_never_shown(engine, monkeypatch):
    evil = (b"<svg onload='alert(1)'/>", "image/svg+xml")
    monkeypatch.setattr(engine, "original", lambda _: evil)
    client = serve_toy(engine).client
    answer = client.get(f"/v1/images/{'0' * 32}/original")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")


def test_similar_and_copies_of_an_image(served):
    client = served.client
    image = first_id(client, "green")
    similar = found(client.get(f"/v1/images/{image}/similar?k=3&color=green"))
    assert similar["hits"][0]["id"] == image
    whole = (
        picture("green", seed=555, size=(96, 72)),
        picture("green", seed=555, size=(96, 72), quality=60),
    )
    ids = [client.post("/v1/images", files=upload(data)).json()["id"] for data in whole]
    copies = found(client.get(f"/v1/images/{ids[0]}/copies"))
    assert ids[1] in [hit["id"] for hit in copies["hits"]]
    assert copies["hits"][0]["copy_of"]["phash_distance"] is not None
    error(client.get(f"/v1/images/{image}/copies?strictness=odd"), 400, "unknown_name")
    error(client.get(f"/v1/images/{'0' * 32}/copies"), 404, "not_found")
    for one in ids:
        client.delete(f"/v1/images/{one}")


@pytest.mark.parametrize(
    "reference", ["..%2f..%2fetc%2fpasswd", "%00", "zz", "-1", "0" * 32, "A" * 64, "%ff%fe", "'"]
)
@pytest.mark.parametrize("rest", ["", "/thumbnail", "/original", "/similar", "/copies"])
def test_odd_ids_are_not_found(client, reference, rest):
    error(client.get(f"/v1/images/{reference}{rest}"), 404, "not_found")


# ── Service ──────────────────────────────────────────────────────────────────────────────


def test_status_suggest_health_and_metrics(client):
    assert StatusAnswer.model_validate(client.get("/v1/status").json()).images >= 30
    suggestions = SuggestAnswer.model_validate(client.get("/v1/suggest?q=pur").json()).suggestions
    assert "purple" in suggestions
    assert client.get("/v1/suggest?q=").json() == {"suggestions": []}
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.get("/v1/search?q=red")
    client.get("/v1/search/none/of/these")
    text = client.get("/metrics").text
    assert 'lookalike_http_requests_total{method="GET",route="/v1/search",status="200"}' in text
    assert 'route="unmatched",status="404"' in text
    assert 'lookalike_search_stage_seconds_bucket{le="0.001",stage="bm25"}' in text
    assert 'lookalike_index{what="images"} ' in text


def test_unknown_places_and_methods_answer_in_the_envelope(client):
    error(client.get("/nowhere"), 404, "not_found")
    error(client.get("/static/../app.py"), 404, "not_found")
    error(client.get("/static/%2e%2e/app.py"), 404, "not_found")
    refused = client.put("/v1/search")
    error(refused, 405, "method_not_allowed")
    assert "GET" in refused.headers["allow"]


def test_a_page_answers_at_the_root_with_strict_headers(client):
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org)", page.text), "the page needs nothing beyond"
    for name in re.findall(r"/static/[\w.-]+", page.text):
        assert client.get(name).status_code == 200, name


def test_openapi_is_complete_and_does_not_change_unseen(client):
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            assert route["tags"], (path, method)
            assert route["summary"], (path, method)
            for status, answer in route["responses"].items():
                if int(status) >= 400:
                    reference = answer["content"]["application/json"]["schema"]["$ref"]
                    assert reference.endswith("/ErrorEnvelope"), (path, method, status)
    text = json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if not GOLDEN.exists():  # delete the file to accept a change on purpose
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), f"the API changed: see {GOLDEN.name}"


def test_every_route_stands_in_the_docs(client):
    documented = set(re.findall(r"^### `([A-Z]+) (/\S*)`", DOCS.read_text("utf-8"), re.MULTILINE))
    schema = client.get("/openapi.json").json()
    routes = {(m.upper(), path) for path, methods in schema["paths"].items() for m in methods}
    assert documented == routes
