"""From an answer over a click to a promoted model: the server, the commands, what is private."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lookalike.cli.app import app as commands
from lookalike.domain.clicks import session_json
from lookalike.domain.errors import LookalikeError, UsageError
from lookalike.domain.queries import Query, TextMatch, TextPart
from lookalike.server.app import create_app
from lookalike.server.options import ServerSettings
from lookalike.settings.clicks import ClickSettings, read_clicks
from lookalike.wiring.checks import run_checks
from lookalike.wiring.learning import recording
from lookalike.wiring.learning_open import open_learning
from lookalike.wiring.manifest import read_manifest, write_manifest
from tests.clicked import users
from tests.integration.served import SmallWeb, open_toy


@pytest.fixture
def engine(tmp_path):
    with open_toy(tmp_path) as engine:
        yield engine


@pytest.fixture
def served(engine, tmp_path):
    """Yield a client of a server that logs clicks, and the log."""
    root = tmp_path / "index"
    logged = ClickSettings(is_logged=True, swap_share=0.0, mixed_share=0.0)
    write_manifest(root, replace(read_manifest(root), clicks=logged))
    with open_learning(root, None) as learning, recording(learning) as clicks:
        app = create_app(engine, fetcher=SmallWeb(), settings=ServerSettings(), clicks=clicks)
        yield TestClient(app, base_url="http://localhost:8080"), learning.log


def command(*words, code=0):
    done = CliRunner().invoke(commands, [str(word) for word in words])
    if code:  # the program prints the error, and ends with its code
        error = done.exception
        assert isinstance(error, LookalikeError), done.output
        assert error.exit_code == code
        return error.message
    assert done.exit_code == 0, done.output
    return json.loads(done.output) if "--json" in words else done.output


def test_an_answer_is_logged_and_clicked(served) -> None:
    client, log = served
    answer = client.get("/v1/search", params={"q": "red"}).json()
    assert answer["is_logged"]
    hit = answer["hits"][1]
    sent = {"query_id": answer["query_id"], "image_id": hit["id"], "position": 2}
    for _ in range(2):
        assert client.post("/v1/clicks", json=sent).json() == {"is_logged": True}
    (session,) = log.sessions()
    assert list(session.shown.images) == [one["id"] for one in answer["hits"]]
    assert session.is_clicked.tolist()[:3] == [False, True, False]
    assert session.shown.text == ""
    assert log.counts().clicks == 1
    assert set(hit["parts"]) == {"bm25", "cosine"}
    values = dict(zip(session.shown.features, session.shown.values.T, strict=True))
    assert np.isfinite(values["label_share"]).all()
    assert (values["colour_share"] > 0).any(), "red is the colour of some pictures"
    assert values["recency"].min() >= 0
    assert values["recency"].max() <= 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"query_id": "f" * 32}, 404, "unknown_answer"),
        ({"position": -1}, 400, "click"),
        ({"position": 0}, 400, "click"),
        ({"position": 10**20}, 400, "click"),
        ({"position": 1}, 400, "click"),
        ({"query_id": "no"}, 400, "click"),
        ({"image_id": "no"}, 400, "click"),
        ({"position": "first"}, 422, None),
        ({"action": "wink"}, 422, None),
        ({"more": 1}, 422, None),
    ],
)
def test_a_click_that_cannot_be_is_refused(served, changes, status, code) -> None:
    client, log = served
    answer = client.get("/v1/search", params={"q": "red"}).json()
    sent = {"query_id": answer["query_id"], "image_id": answer["hits"][1]["id"], "position": 2}
    refused = client.post("/v1/clicks", json=sent | changes)
    assert refused.status_code == status
    assert code is None or refused.json()["error"]["code"] == code
    assert log.counts().clicks == 0


def test_filters_pages_and_other_tabs_are_not_logged(served) -> None:
    client, log = served
    first = client.get("/v1/search", params={"q": "red", "k": 2}).json()
    assert first["is_logged"]
    again = client.get("/v1/search", params={"q": "red", "k": 2, "cursor": first["next"]}).json()
    listing = client.get("/v1/search", params={"min_width": 1}).json()
    similar = client.get("/v1/search", params={"q": "red", "show": "similar"}).json()
    assert not any("is_logged" in one for one in (again, listing, similar))
    assert all(one["query_id"] for one in (again, listing, similar))
    assert log.counts().answers == 1


def test_nothing_is_kept_unless_asked(engine, tmp_path) -> None:
    root = tmp_path / "index"
    with open_learning(root, None) as learning, recording(learning) as clicks:
        assert clicks is None
    client = TestClient(create_app(engine, fetcher=SmallWeb()), base_url="http://localhost:8080")
    answer = client.get("/v1/search", params={"q": "red"}).json()
    assert "is_logged" not in answer
    sent = {"query_id": answer["query_id"], "image_id": answer["hits"][0]["id"], "position": 1}
    assert client.post("/v1/clicks", json=sent).json() == {"is_logged": False}
    assert not (root / "clicks.sqlite").exists()


def test_an_answer_explains_each_hit_by_feature(served, engine) -> None:
    client, _ = served
    plain = client.get("/v1/search", params={"q": "red", "explain": "true"}).json()
    for hit in plain["hits"]:
        assert sum(hit["shares"].values()) == pytest.approx(hit["score"], abs=1e-5)
    assert "shares" not in client.get("/v1/search", params={"q": "red"}).json()["hits"][0]


def test_the_mixed_order_holds_the_same_hits(engine) -> None:
    query = Query("red", texts=(TextPart("red"),), match=TextMatch("red"), k=30, is_traced=True)
    usual = engine.search(query)
    mixed = engine.search(replace(query, is_mixed=True))
    assert _places(usual) == _places(mixed)
    assert [hit.traced.usual for hit in usual.hits] == list(range(1, len(usual.hits) + 1))
    assert [hit.traced.mixed for hit in mixed.hits] == list(range(1, len(mixed.hits) + 1))


def _places(result):
    return {hit.record.id: (hit.traced.usual, hit.traced.mixed) for hit in result.hits}


def test_learning_by_commands(engine, tmp_path) -> None:
    root = tmp_path / "index"
    lines = tmp_path / "clicks.jsonl"
    log = users(2500, seed=3)
    lines.write_text("".join(json.dumps(session_json(one)) + "\n" for one in log))
    assert "too few" in command("learn", "--index", root, code=1)
    dry = command("learn", "--index", root, "--from", lines, "--dry-run", "--json")
    assert (dry["version"], dry["is_better"]) == (None, True)
    report = command("learn", "--index", root, "--from", lines, "--json")
    assert (report["version"], report["promoted"], report["before"]) == (1, True, "rrf")
    assert "not surely better" in command("learn", "--index", root, "--from", lines)
    listed = command("learn", "--index", root, "--list", "--json")["versions"]
    assert [one["in_use"] for one in listed] == [False, True, False]
    assert command("learn", "--index", root, "--rollback", "--json") == {"in_use": "rrf"}
    assert command("learn", "--index", root, "--use", "fusion-000002", "--json") == {"in_use": 2}
    assert command("learn", "--index", root, "--use", "rrf", "--json") == {"in_use": "rrf"}
    command("learn", "--index", root, "--use", "best", code=2)
    command("learn", "--index", root, "--use", "7", code=3)
    command("learn", "--index", root, "--use", "1", "--list", code=2)
    assert "* " in command("learn", "--index", root, "--list")


def test_a_promoted_model_orders_and_a_damaged_one_is_told_by_doctor(engine, tmp_path) -> None:
    root = tmp_path / "index"
    lines = tmp_path / "clicks.jsonl"
    lines.write_text("".join(json.dumps(session_json(one)) + "\n" for one in users(2500, seed=3)))
    command("learn", "--index", root, "--from", lines)
    query = Query("red", texts=(TextPart("red"),), match=TextMatch("red"), is_explained=True)
    ranker = engine._searcher._ranker
    ranker._read = None
    answer = engine.search(query)
    assert answer.explanation["ranker"] == "fusion-000001"
    assert {"rrf", "cosine", "intercept"} <= answer.hits[0].shares.keys()
    assert all(0 <= hit.score <= 1 for hit in answer.hits)
    (root / "models" / "fusion-000001.json").write_bytes(b"\x00damaged")
    ranker._read = None
    degraded = engine.search(query)
    assert degraded.explanation["ranker"] == "rrf"
    assert "damaged" in degraded.explanation["ranker_problem"]
    assert degraded.hits
    found = {one.name: one for one in run_checks(root)}
    assert found["fusion"].state == "warning"
    assert "--rollback" in found["fusion"].remedy


def test_the_log_by_commands(served, tmp_path) -> None:
    client, _ = served
    root = tmp_path / "index"
    for word in ("red", "blue", "green"):
        answer = client.get("/v1/search", params={"q": word}).json()
        sent = {"query_id": answer["query_id"], "image_id": answer["hits"][0]["id"], "position": 1}
        client.post("/v1/clicks", json=sent)
    out = tmp_path / "out.jsonl"
    told = command("clicks", "--index", root, "--export", out, "--json")
    assert (told["exported"], told["answers"], told["clicks"], told["is_logged"]) == (3, 3, 3, True)
    assert len(out.read_text().splitlines()) == 3
    assert "answers       3" in command("clicks", "--index", root)
    assert command("clicks", "--index", root, "--forget", "2001-01-01", "--json")["forgotten"] == 0
    one = json.loads(out.read_text().splitlines()[0])["query_id"]
    assert command("clicks", "--index", root, "--forget", one, "--json")["forgotten"] == 1
    assert command("clicks", "--index", root, "--forget", "all", "--json")["answers"] == 0
    command("clicks", "--index", root, "--forget", "yesterday-ish", code=2)
    out.write_text("{}\n")
    assert "line 1" in command("learn", "--index", root, "--from", out, code=2)
    command("learn", "--index", root, "--from", tmp_path / "none", code=2)


@pytest.mark.parametrize(
    "table",
    [
        3, {"is_loged": True}, {"is_logged": 1}, {"days": 0}, {"days": True}, {"days": 1.5},
        {"swap_share": 2}, {"mixed_share": -0.1}, {"swap_share": "1"}, {"most_answers": 0},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(table) -> None:
    with pytest.raises(UsageError, match=r"index\.toml"):
        read_clicks(table, "index.toml")


def test_settings_are_read() -> None:
    assert read_clicks({}, "x") == ClickSettings()
    assert not ClickSettings().is_logged
    assert read_clicks({"swap_share": 1, "days": 7}, "x") == ClickSettings(swap_share=1.0, days=7)
