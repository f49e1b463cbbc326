"""The `[search]` table."""

import tomllib

import pytest

from lookalike.domain.errors import UsageError
from lookalike.domain.queries import Answering
from lookalike.settings.answering import read_answering, render_answering


def test_what_is_written_is_read():
    settings = Answering(least_relevance=0.5, diversity=0.25)
    table = tomllib.loads(render_answering(settings))["search"]
    assert read_answering(table, "index.toml") == settings
    assert read_answering({}, "index.toml") == Answering()


@pytest.mark.parametrize(
    "values", [[], {"diversty": 0.5}, {"diversity": 2}, {"diversity": True}, {"diversity": "0.5"}]
)
def test_what_is_wrong_is_refused(values):
    with pytest.raises(UsageError, match="search"):
        read_answering(values, "index.toml")
