"""The writer's lease: one call at a time, kept a while, and opened anew after a failure."""

import threading

import pytest

from lookalike.domain.errors import IndexLockedError, StoreError
from lookalike.engine import lease as lease_module
from lookalike.engine.lease import WriterLease


class Opened:
    """A writer that only remembers whether it is closed."""

    def __init__(self, log, *, is_failing=False):
        self._log = log
        self._is_failing = is_failing
        log.append("open")

    def close(self):
        self._log.append("close")
        if self._is_failing:
            raise StoreError("it cannot be closed")


def test_without_idling_each_call_opens_and_closes():
    log = []
    lease = WriterLease(lambda: Opened(log), idle_s=0)
    for _ in range(2):
        with lease.hold():
            log.append("write")
    assert log == ["open", "write", "close"] * 2


def test_an_idle_writer_serves_the_next_call():
    log = []
    lease = WriterLease(lambda: Opened(log), idle_s=3600)
    with lease.hold() as first:
        pass
    with lease.hold() as second:
        assert second is first
    assert log == ["open"]
    lease.close()
    lease.close()
    assert log == ["open", "close"]


def test_an_idle_writer_is_given_back_in_time():
    closed = threading.Event()

    class Told(Opened):
        def close(self):
            super().close()
            closed.set()

    lease = WriterLease(lambda: Told([]), idle_s=0.01)
    with lease.hold():
        assert not closed.is_set()
    assert closed.wait(60)


@pytest.mark.parametrize("is_failing", [False, True])
def test_after_a_failure_the_next_call_opens_anew(is_failing):
    log = []
    lease = WriterLease(lambda: Opened(log, is_failing=is_failing), idle_s=3600)
    with pytest.raises(KeyError):
        with lease.hold():
            raise KeyError
    assert log == ["open", "close"]
    with lease.hold():
        pass
    assert log == ["open", "close", "open"]


def test_what_cannot_be_opened_is_tried_again():
    log = []

    def open_writer():
        if not log:
            log.append("refused")
            raise IndexLockedError("another process writes")
        return Opened(log)

    lease = WriterLease(open_writer, idle_s=0)
    with pytest.raises(IndexLockedError):
        with lease.hold():
            pass
    with lease.hold():
        pass
    assert log == ["refused", "open", "close"]


def test_calls_of_one_process_take_turns_and_do_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(lease_module, "MOST_WAIT_S", 0.01)
    lease = WriterLease(lambda: Opened([]), idle_s=0)
    with lease.hold():
        with pytest.raises(IndexLockedError, match="another call of this process"):
            with lease.hold():
                pass
