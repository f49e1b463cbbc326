"""The contract of `ports.clicks.ClickLog`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lookalike.adapters.clicks_cassandra import CassandraClickLog
from lookalike.adapters.clicks_sqlite import SqliteClickLog
from lookalike.adapters.clicks_values import ClickBounds
from lookalike.domain.clicks import DAY_S
from lookalike.domain.errors import ClickError, UnknownAnswerError
from lookalike.ports.clicks import ClickCounts
from tests.clicked import answer, click

NOW = 20_000 * DAY_S


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("cassandra", marks=pytest.mark.service)])
def log(request, tmp_path, clock):
    bounds = ClickBounds(days=10)
    if request.param == "cassandra":
        space = request.getfixturevalue("cassandra_space")
        space.clean()
        opened = CassandraClickLog(space.options, bounds, clock=clock)
    else:
        opened = SqliteClickLog(tmp_path / "clicks.sqlite", bounds, clock=clock)
    yield opened
    opened.close()


def shown(number, *, ago=0.0, **changes):
    return answer(number, at=NOW - ago, **changes)


def test_an_empty_log_has_nothing(log) -> None:
    assert log.counts() == ClickCounts(0, 0)
    assert list(log.sessions()) == []
    assert log.forget() == 0
    with pytest.raises(UnknownAnswerError):
        log.add_click(click(shown(1), 1))


def test_answers_come_back_with_their_clicks(log) -> None:
    first, second = shown(1, ago=60), shown(2)
    log.add_answers([second, first])
    log.add_click(click(second, 3, at=NOW + 1))
    log.add_click(click(second, 1, at=NOW + 2))
    found = sorted(log.sessions(), key=lambda one: one.shown.at)
    assert [one.shown for one in found] == [first, second]
    assert [one.is_clicked.tolist() for one in found] == [[False] * 3, [True, False, True]]
    counts = log.counts()
    assert (counts.answers, counts.clicks) == (2, 2)
    assert (counts.oldest, counts.newest) == (first.at, second.at)


def test_adding_twice_equals_once(log) -> None:
    log.add_answers([shown(1)])
    log.add_answers([shown(1), shown(1)])
    for _ in range(3):
        log.add_click(click(shown(1), 2))
    assert (log.counts().answers, log.counts().clicks) == (1, 1)


def test_a_click_on_what_was_not_shown_is_refused(log) -> None:
    log.add_answers([shown(1)])
    with pytest.raises(UnknownAnswerError, match="f" * 32):
        log.add_click(replace(click(shown(1), 1), query_id="f" * 32))
    with pytest.raises(ClickError, match="did not stand"):
        log.add_click(replace(click(shown(1), 1), position=2))
    assert log.counts().clicks == 0


def test_sessions_of_a_time(log) -> None:
    log.add_answers([shown(number, ago=number * DAY_S) for number in range(5)])
    found = log.sessions(since=NOW - 3 * DAY_S, until=NOW - DAY_S)
    assert sorted(NOW - one.shown.at for one in found) == [2 * DAY_S, 3 * DAY_S]


def test_what_is_too_old_is_unknown(log, clock) -> None:
    log.add_answers([shown(1), shown(2)])
    log.add_click(click(shown(1), 1))
    clock.now += 11 * DAY_S
    log.add_answers([answer(3, at=clock.now)])
    assert [one.shown.query_id for one in log.sessions()] == [answer(3).query_id]
    assert log.counts() == ClickCounts(1, 0, clock.now, clock.now)
    with pytest.raises(UnknownAnswerError):
        log.add_click(click(shown(1), 1))


def test_a_clock_that_goes_back_loses_nothing(log, clock) -> None:
    log.add_answers([shown(1)])
    clock.now -= 5 * DAY_S
    log.add_answers([answer(2, at=clock.now)])
    log.add_click(click(shown(1), 1, at=clock.now))
    assert (log.counts().answers, log.counts().clicks) == (2, 1)


def test_forgetting(log) -> None:
    log.add_answers([shown(number, ago=number * DAY_S) for number in range(4)])
    for number in range(4):
        log.add_click(click(shown(number), 1))
    assert log.forget(query_id=shown(0).query_id) == 1
    assert log.forget(query_id="f" * 32) == 0
    assert log.forget(before=NOW - 1.5 * DAY_S) == 2
    assert [one.shown.query_id for one in log.sessions()] == [shown(1).query_id]
    assert log.forget() == 1
    assert log.counts() == ClickCounts(0, 0)


def test_many_answers_are_read_in_turn(log) -> None:
    log.add_answers([shown(number, ago=number) for number in range(1200)])
    assert len({one.shown.query_id for one in log.sessions()}) == 1200


def test_closing_twice_does_nothing(log) -> None:
    log.add_answers([shown(1)])
    log.close()
    log.close()
