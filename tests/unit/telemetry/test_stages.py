import threading

import pytest

from lookalike.telemetry.stages import StageTimer, StageTotal


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_adds_up_runs_of_a_stage():
    clock = Clock()
    timer = StageTimer(clock)
    for seconds in (1, 3):
        with timer.stage("encode", items=10):
            clock.now += seconds
    assert timer.totals() == {"encode": StageTotal(4000.0, runs=2, items=20)}
    assert timer.totals()["encode"].items_per_s == 5.0
    assert (timer.stages, timer.total_ms) == ({"encode": 4000.0}, 4000.0)


def test_a_stage_inside_another_counts_for_both():
    clock = Clock()
    timer = StageTimer(clock)
    with timer.stage("search"):
        clock.now += 1
        with timer.stage("encode"):
            clock.now += 2
    assert timer.stages == {"encode": 2000.0, "search": 3000.0}


def test_a_stage_that_raises_is_timed():
    clock = Clock()
    timer = StageTimer(clock)
    with pytest.raises(RuntimeError), timer.stage("decode"):
        clock.now += 1
        raise RuntimeError
    assert timer.stages == {"decode": 1000.0}


def test_nothing_timed_has_no_rate():
    assert StageTotal(items=3).items_per_s == 0.0


def test_threads_lose_nothing():
    timer = StageTimer()
    threads = [
        threading.Thread(target=lambda: [timer.add("a", 1.0, items=1) for _ in range(500)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert timer.totals() == {"a": StageTotal(4000.0, runs=4000, items=4000)}
