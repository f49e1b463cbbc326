"""The threads between the stages of ingest."""

import threading
import time

import pytest

from lookalike.engine.relay import WriteBehind, read_ahead


def test_reads_ahead_in_order_and_bounded():
    taken = []

    def items():
        for i in range(200):
            taken.append(i)
            yield i

    stop = threading.Event()
    seen = []
    for item in read_ahead(items(), most=10, stop=stop, tick_s=5):
        seen.append(item)
        assert len(taken) - len(seen) <= 12
    assert seen == list(range(200))


def test_what_the_source_raises_is_raised_to_the_reader():
    def items():
        yield 1
        raise OSError("gone")

    reader = read_ahead(items(), most=4, stop=threading.Event(), tick_s=5)
    assert next(reader) == 1
    with pytest.raises(OSError, match="gone"):
        next(reader)


def test_a_stop_ends_the_reading():
    stop = threading.Event()

    def items():
        i = 0
        while True:
            yield i
            i += 1

    seen = []
    for item in read_ahead(items(), most=4, stop=stop, tick_s=5):
        seen.append(item)
        if item == 50:
            stop.set()
    assert 50 < len(seen) < 100


def test_a_reader_that_leaves_ends_the_thread():
    def items():
        while True:
            yield 1

    before = threading.active_count()
    reader = read_ahead(items(), most=4, stop=threading.Event(), tick_s=5)
    next(reader)
    reader.close()
    assert threading.active_count() == before


def test_while_nothing_comes_it_ticks():
    more = threading.Event()

    def items():
        yield 1
        assert more.wait(10)
        yield 2

    seen = []
    for item in read_ahead(items(), most=4, stop=threading.Event(), tick_s=0.01):
        seen.append(item)
        if item is None:
            more.set()
    assert [item for item in seen if item is not None] == [1, 2]
    assert None in seen


def test_writes_behind_in_order():
    written = []
    behind = WriteBehind(lambda item: (time.sleep(0.001), written.append(item)), most=2)
    for i in range(30):
        behind.put(i)
    behind.drain()
    assert written == list(range(30))
    behind.close()


def test_after_a_failure_nothing_more_is_written():
    written = []

    def write(item):
        if item == 3:
            raise OSError("full")
        written.append(item)

    behind = WriteBehind(write, most=1)
    with pytest.raises(OSError, match="full"):
        for i in range(100):
            behind.put(i)
    behind.close()
    assert written == [0, 1, 2]
