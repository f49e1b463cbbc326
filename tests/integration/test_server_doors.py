"""Who may ask the server, how much, and what it says of itself in its logs."""

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import StoreError, UsageError
from lookalike.server.app import create_app
from lookalike.server.limits import RateLimit
from lookalike.server.options import ServerSettings
from lookalike.telemetry.logs import JsonFormatter
from tests.integration.served import SmallWeb, open_toy, serve_toy
from tests.toy import picture

FILE = {"file": ("a.jpg", picture("red", seed=3), "image/jpeg")}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with open_toy(tmp_path_factory.mktemp("doors"), count=12) as engine:
        yield engine


def code(response):
    return response.status_code, response.json()["error"]["code"]


def test_serving_beyond_this_machine_needs_a_key(engine):
    with pytest.raises(UsageError, match="anyone on the network") as refused:
        create_app(engine, fetcher=SmallWeb(), settings=ServerSettings(host="0.0.0.0"))
    assert "LOOKALIKE_API_KEYS" in refused.value.hint
    with pytest.raises(UsageError, match="empty"):
        create_app(engine, fetcher=SmallWeb(), settings=ServerSettings(api_keys=(" ",)))
    for host in ("127.0.0.1", "localhost", "::1", "127.3.2.1"):
        assert ServerSettings(host=host).is_local


def test_a_key_opens_the_api_and_the_page_needs_none(engine):
    client = serve_toy(engine, host="0.0.0.0", api_keys=("first-key", "second-key")).client
    for path in ("/v1/search?q=red", "/v1/status", "/metrics"):
        refused = client.get(path)
        assert code(refused) == (401, "unauthorized")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert client.get(path, headers={"x-api-key": "wrong"}).status_code == 401
        assert client.get(path, headers={"x-api-key": b"\xe9"}).status_code == 401
        assert client.get(path, headers={"x-api-key": "first-key"}).status_code == 200
        bearer = {"authorization": "Bearer second-key"}
        assert client.get(path, headers=bearer).status_code == 200
    for path in ("/", "/static/app.js", "/healthz", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_a_foreign_name_for_localhost_is_refused(engine):
    client = serve_toy(engine).client
    assert code(client.get("/v1/status", headers={"host": "evil.example"})) == (403, "forbidden")
    assert code(client.get("/", headers={"host": "localhost.evil.example"})) == (403, "forbidden")
    for host in ("localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "LOCALHOST."):
        assert client.get("/healthz", headers={"host": host}).status_code == 200, host
    named = serve_toy(engine, allowed_hosts=("pictures.lan",)).client
    assert named.get("/healthz", headers={"host": "pictures.lan:80"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://localhost:9999"},
    ],
)
def test_pages_of_other_sites_cannot_change_anything(engine, headers):
    client = serve_toy(engine).client
    before = client.get("/v1/status").json()["images"]
    image = client.get("/v1/search?q=red&k=1").json()["hits"][0]["id"]
    assert code(client.post("/v1/images", files=FILE, headers=headers)) == (403, "forbidden")
    assert code(client.delete(f"/v1/images/{image}", headers=headers)) == (403, "forbidden")
    text = headers | {"content-type": "text/plain"}
    assert client.post("/v1/search", content=b'{"q":"red"}', headers=text).status_code == 403
    assert client.get("/v1/status").json()["images"] == before
    answer = client.get("/v1/status", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_the_own_page_and_named_origins_may(engine):
    own = {"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}
    assert serve_toy(engine).client.post("/v1/search", json={"q": "red"}, headers=own).is_success
    friend = "https://friend.example"
    client = serve_toy(engine, cors_origins=(friend,)).client
    cross = {"origin": friend, "sec-fetch-site": "cross-site"}
    answer = client.post("/v1/search", json={"q": "red"}, headers=cross)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == friend


def test_bodies_are_bounded_as_they_arrive(engine):
    client = serve_toy(engine, max_upload_bytes=20_000).client
    too_big = {"file": ("a.jpg", b"\xff\xd8\xff" + b"x" * 30_000, "image/jpeg")}
    assert code(client.post("/v1/search/image", files=too_big)) == (413, "too_large")
    huge = b"x" * 3_000_000
    assert code(client.post("/v1/images", files={"file": huge})) == (413, "too_large")

    def unstated():
        for _ in range(50):
            yield b"x" * 100_000

    for kind in ("application/json", "multipart/form-data; boundary=x"):
        streamed = client.post(
            "/v1/search/image", content=unstated(), headers={"content-type": kind}
        )
        assert streamed.status_code in {413, 422}, streamed.text
    lying = {"content-type": "application/json", "content-length": "10"}
    streamed = client.post("/v1/search", content=unstated(), headers=lying)
    assert streamed.status_code == 413
    assert client.get("/v1/search?q=red").status_code == 200


def test_callers_over_the_rate_are_told_when_to_come_back(engine):
    client = serve_toy(engine, rate_per_s=0.01, rate_burst=2).client
    codes = [client.get("/v1/search?q=red").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = client.get("/v1/search?q=red")
    assert int(refused.headers["retry-after"]) > 1
    made_up = {"x-api-key": "another"}
    assert client.get("/v1/search?q=red", headers=made_up).status_code == 429
    assert client.get("/healthz").status_code == 200
    keyed = serve_toy(engine, rate_per_s=0.01, rate_burst=1, api_keys=("one", "two")).client
    codes = [keyed.get("/v1/status", headers={"x-api-key": k}).status_code for k in ("one", "two")]
    assert codes == [200, 200]
    assert keyed.get("/v1/status", headers={"x-api-key": "one"}).status_code == 429


def test_a_body_that_does_not_come_is_not_waited_for(engine):
    app = serve_toy(engine, body_timeout_s=0.05).app
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/v1/search", "raw_path": b"/v1/search", "root_path": "",
        "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "server": None,
    }  # fmt: skip
    sent = []

    async def receive():
        await anyio.sleep(20)

    async def send(message):
        sent.append(message)

    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "slow_body"


@given(
    rate=st.floats(0.1, 100), burst=st.integers(1, 50), steps=st.lists(st.floats(0, 5), max_size=80)
)
def test_a_bucket_never_gives_more_than_its_rate(rate, burst, steps):
    now = 0.0
    limit = RateLimit(rate, burst, clock=lambda: now)
    given_ = 0
    for step in steps:
        now += step
        wait = limit.take("one")
        assert wait >= 0
        given_ += wait == 0
    assert given_ <= burst + rate * now + 1e-6


def test_too_many_at_once_are_sent_away_and_the_rest_is_served(engine, monkeypatch):
    gate, search = threading.Event(), engine.search

    def held(query):
        assert gate.wait(20)
        return search(query)

    monkeypatch.setattr(engine, "search", held)
    client = serve_toy(engine, max_in_flight=4, threads=2).client
    with client, ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(client.get, "/v1/search?q=red&k=2") for _ in range(12)]
        while sum(call.done() for call in calls) < 8:
            threading.Event().wait(0.01)
        gate.set()
        answers = [call.result() for call in calls]
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503] * 8
    busy = next(answer for answer in answers if answer.status_code == 503)
    assert code(busy) == (503, "overloaded")
    assert busy.headers["retry-after"] == "1"


def test_many_clients_get_the_answers_they_asked_for(engine):
    client = serve_toy(engine).client
    colours = ["red", "green", "blue", "yellow"] * 10
    with client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda c: client.get(f"/v1/search?q={c}&k=1").json(), colours))
    for colour, answer in zip(colours, answers, strict=True):
        assert answer["hits"][0]["title"].startswith(colour)


def test_a_late_path_degrades_the_answer_and_is_counted(engine, monkeypatch):
    search = engine.search
    monkeypatch.setattr(
        engine, "search", lambda query: replace(search(query), degraded=("vector: late",))
    )
    client = serve_toy(engine).client
    answer = client.get("/v1/search?q=red")
    assert answer.status_code == 200
    assert answer.json()["degraded"] == ["vector: late"]
    assert 'lookalike_search_degraded_total{path="vector"} 1.0' in client.get("/metrics").text


def test_the_deadline_reaches_the_engine(engine, monkeypatch):
    asked, search = [], engine.search
    monkeypatch.setattr(engine, "search", lambda query: asked.append(query) or search(query))
    serve_toy(engine, deadline_ms=321.0).client.get("/v1/search?q=red")
    assert asked[0].deadline_ms == 321.0


def test_a_store_that_fails_is_a_503_and_a_defect_a_500_without_details(engine, monkeypatch):
    def fail(*_args, **_kwargs):
        raise StoreError("the disk is gone", hint="mount it")

    monkeypatch.setattr(engine, "status", fail)
    client = serve_toy(engine).client
    client = type(client)(client.app, base_url="http://localhost", raise_server_exceptions=False)
    assert code(client.get("/readyz")) == (503, "store")
    assert code(client.get("/v1/status")) == (503, "store")

    def crash(*_args, **_kwargs):
        raise RuntimeError("secret: hunter2")

    monkeypatch.setattr(engine, "search", crash)
    answer = client.get("/v1/search?q=red", headers={"x-request-id": "abc-1"})
    assert code(answer) == (500, "internal")
    assert "secret" not in answer.text
    assert "abc-1" in answer.json()["error"]["hint"]


def test_each_request_has_an_id_and_one_json_line_without_the_query(engine):
    lines = []
    handler = logging.Handler()
    handler.setFormatter(JsonFormatter())
    handler.emit = lambda record: lines.append(handler.format(record))
    logger = logging.getLogger("lookalike.access")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        client = serve_toy(engine).client
        given_id = client.get("/v1/search?q=private", headers={"x-request-id": "my-id.1"})
        made_id = client.get("/healthz", headers={"x-request-id": "bad id\twith spaces"})
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert given_id.headers["x-request-id"] == "my-id.1"
    assert len(made_id.headers["x-request-id"]) == 32
    first, second = map(json.loads, lines)
    assert (first["request_id"], first["route"], first["status"]) == ("my-id.1", "/v1/search", 200)
    assert first["ms"] > 0
    assert "private" not in lines[0]
    assert second["request_id"] == made_id.headers["x-request-id"]
