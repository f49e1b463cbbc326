"""The click log's file: its bounds, and what stands in its place."""

from __future__ import annotations

import sqlite3

import pytest

from lookalike.adapters import clicks_sqlite
from lookalike.adapters.clicks_sqlite import SqliteClickLog
from lookalike.adapters.clicks_values import ClickBounds, pack_answer, unpack_answer
from lookalike.domain.errors import ClickError, IndexCorruptError, IndexFormatError, StoreError
from tests.clicked import answer, click


def opened(path, **bounds):
    return SqliteClickLog(path, ClickBounds(**bounds), clock=lambda: 2000.0)


def test_the_oldest_of_too_many_are_deleted_with_their_clicks(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(clicks_sqlite, "SWEEP_EVERY", 1)
    log = opened(tmp_path / "clicks.sqlite", most_answers=5)
    for number in range(1, 13):
        log.add_answers([answer(number)])
        log.add_click(click(answer(number), 1))
    counts = log.counts()
    assert (counts.answers, counts.clicks, counts.oldest) == (5, 5, 1008.0)
    log.close()


def test_reading_makes_no_file(tmp_path) -> None:
    log = opened(tmp_path / "clicks.sqlite")
    assert list(log.sessions()) == []
    assert log.counts().answers == 0
    assert not (tmp_path / "clicks.sqlite").exists()


def test_a_foreign_file_is_refused_and_left_alone(tmp_path) -> None:
    path = tmp_path / "clicks.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine(x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(IndexCorruptError, match="no click log"):
        opened(path).add_answers([answer()])
    assert path.read_bytes()[100:] == before[100:]


@pytest.mark.parametrize("data", [b"x" * 5000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_damaged_file_is_our_error(tmp_path, data) -> None:
    path = tmp_path / "clicks.sqlite"
    path.write_bytes(data)
    log = opened(path)
    with pytest.raises(StoreError):
        log.counts()
    with pytest.raises(StoreError):
        log.add_answers([answer()])


def test_a_newer_file_is_refused(tmp_path) -> None:
    path = tmp_path / "clicks.sqlite"
    log = opened(path)
    log.add_answers([answer()])
    log.close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 9")
    other.close()
    with pytest.raises(IndexFormatError, match="format 9"):
        opened(path).counts()


def test_a_damaged_answer_costs_no_other(tmp_path) -> None:
    path = tmp_path / "clicks.sqlite"
    log = opened(path)
    log.add_answers([answer(1), answer(2)])
    log.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE answers SET data = x'00' WHERE query_id = ?", (answer(1).query_id,))
    other.close()
    log = opened(path)
    assert [one.shown for one in log.sessions()] == [answer(2)]
    with pytest.raises(ClickError, match="damaged"):
        log.add_click(click(answer(1), 1))
    log.close()


def test_forgotten_words_are_not_left_in_the_file(tmp_path) -> None:
    path = tmp_path / "clicks.sqlite"
    log = opened(path)
    log.add_answers([answer(1, query_id="abcdef0123456789" * 2)])
    log.forget()
    log.close()
    assert b"abcdef0123456789" not in path.read_bytes()


def test_two_logs_share_a_file(tmp_path) -> None:
    one, other = opened(tmp_path / "clicks.sqlite"), opened(tmp_path / "clicks.sqlite")
    one.add_answers([answer(1)])
    other.add_click(click(answer(1), 1))
    assert one.counts() == other.counts()
    one.close()
    other.close()


def test_an_answer_reads_back_from_its_bytes() -> None:
    assert unpack_answer(pack_answer(answer())) == answer()
    with pytest.raises(ClickError):
        unpack_answer(b"nothing")
