"""Completion and spelling through the doors: HTTP, the command line, and what others asked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lookalike.cli.app import app as commands
from lookalike.server.app import create_app
from lookalike.server.options import ServerSettings
from lookalike.settings.clicks import ClickSettings
from lookalike.wiring.learning import past_queries, recording
from lookalike.wiring.learning_open import open_learning
from lookalike.wiring.manifest import read_manifest, write_manifest
from tests.integration.served import SmallWeb, open_toy, serve_toy


@pytest.fixture
def engine(tmp_path):
    with open_toy(tmp_path) as engine:
        yield engine


def lines_of(client, typed, **asked):
    answer = client.get("/v1/complete", params={"q": typed, **asked})
    assert answer.status_code == 200
    return [one["text"] for one in answer.json()["completions"]]


def test_the_server_completes_words_filters_and_values(engine) -> None:
    client = serve_toy(engine).client
    assert any(line.startswith("color:bl") for line in lines_of(client, "color:bl"))
    assert "red licence:modification" in lines_of(client, "red licence:modif")
    assert len(lines_of(client, "c", limit=2)) <= 2
    assert lines_of(client, "zzzzqqq") == []
    assert client.get("/v1/complete", params={"q": "x" * 5000}).status_code == 422


def test_the_command_completes_the_same(engine, tmp_path) -> None:
    client = serve_toy(engine).client
    typed = "red color:b"
    done = CliRunner().invoke(
        commands, ["complete", typed, "--index", str(tmp_path / "index"), "--json"]
    )
    assert done.exit_code == 0, done.output
    told = [one["text"] for one in json.loads(done.output)["completions"]]
    assert told == lines_of(client, typed)


@pytest.mark.parametrize(
    ("offered", "asked", "is_told"), [(True, 3, True), (True, 2, False), (False, 3, False)]
)
def test_what_others_asked_is_offered_only_if_the_index_says_so(
    engine, tmp_path, offered, asked, is_told
) -> None:
    root = tmp_path / "index"
    kept = ClickSettings(is_logged=True, is_text_kept=True, is_text_offered=offered)
    write_manifest(root, replace(read_manifest(root), clicks=kept))
    with open_learning(root, None) as learning, recording(learning) as clicks:
        app = create_app(engine, fetcher=SmallWeb(), settings=ServerSettings(), clicks=clicks)
        client = TestClient(app, base_url="http://localhost:8080")
        for _ in range(asked):
            client.get("/v1/search", params={"q": "red things"})
        assert clicks.flush()
        past = past_queries(learning, is_waiting=True)
        app = create_app(engine, fetcher=SmallWeb(), settings=ServerSettings(), past=past)
        lines = lines_of(TestClient(app, base_url="http://localhost:8080"), "red th")
    assert ("red things" in lines) is is_told


def test_a_misspelt_word_is_put_right_unless_it_is_meant(engine) -> None:
    client = serve_toy(engine).client
    answer = client.get("/v1/search", params={"q": "purpel"}).json()
    assert answer["corrected"] == "purple"
    assert answer["query"] == "purpel"
    meant = client.get("/v1/search", params={"q": "purpel", "as_typed": True}).json()
    assert "corrected" not in meant
    quoted = client.get("/v1/search", params={"q": '"purpel"'}).json()
    assert "corrected" not in quoted
