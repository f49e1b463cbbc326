"""The `[vectors]` table."""

import tomllib

import pytest

from lookalike.adapters.vectors_settings import VectorSettings
from lookalike.domain.errors import UsageError
from lookalike.settings.vectors import read_vectors, render_vectors


@pytest.mark.parametrize("engine", ["cells", "graph", "exact"])
def test_what_is_written_is_read(engine):
    settings = VectorSettings.of_engine(engine)
    table = tomllib.loads(render_vectors(settings))["vectors"]
    assert read_vectors(table, "index.toml") == settings


def test_what_is_not_said_is_usual():
    assert read_vectors({}, "index.toml") == VectorSettings()
    settings = read_vectors({"image_recall": 0.9, "text_recall": 1}, "index.toml")
    assert (settings.image_recall, settings.text_recall) == (0.9, 1.0)
    for rows in (10**4, 10**7):
        assert settings.target_recall("image", rows) == 0.9
        assert settings.target_recall("text", rows) == 1.0
    high = read_vectors({"image_recall": 0.995}, "index.toml")
    assert high.target_recall("image", 10**7) == 0.995
    assert high.target_recall("text", 10**7) == VectorSettings().many_text_recall


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"engin": "graph"},
        {"engine": "hnsw"},
        {"engine": ["graph"]},
        {"image_recall": 0},
        {"image_recall": 1.1},
        {"text_recall": True},
        {"text_recall": "0.9"},
    ],
)
def test_what_is_wrong_is_refused(values):
    with pytest.raises(UsageError, match="vectors"):
        read_vectors(values, "index.toml")
