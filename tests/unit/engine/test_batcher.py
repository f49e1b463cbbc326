"""The micro-batcher: the unbatched answers, in order, and no promise lost."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lookalike.engine.batcher import MicroBatcher, VectorCache


def encode(items):
    return np.array([[item, item * 2] for item in items], np.float32)


def test_answers_are_the_unbatched_ones():
    batcher = MicroBatcher(encode)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda i: batcher.submit(i).result(timeout=10), range(500)))
    batcher.close()
    assert [answer.tolist() for answer in answers] == [[i, i * 2] for i in range(500)]
    assert batcher.stats().items == 500
    assert batcher.stats().batches <= 500


def test_calls_that_wait_run_together():
    began = threading.Event()
    go = threading.Event()
    sizes = []

    def slow(items):
        sizes.append(len(items))
        began.set()
        assert go.wait(10)
        return encode(items)

    batcher = MicroBatcher(slow, most=256)
    first = batcher.submit(0)
    assert began.wait(10)
    others = [batcher.submit(i) for i in range(1, 41)]
    go.set()
    assert [future.result(timeout=10)[0] for future in (first, *others)] == list(range(41))
    batcher.close()
    assert sizes == [1, 40]


def test_batches_are_bounded():
    sizes = []
    hold = threading.Event()

    def record(items):
        hold.wait(10)
        sizes.append(len(items))
        return encode(items)

    batcher = MicroBatcher(record, most=8)
    futures = [batcher.submit(i) for i in range(50)]
    hold.set()
    for future in futures:
        future.result(timeout=10)
    batcher.close()
    assert max(sizes) <= 8
    assert sum(sizes) == 50


def test_a_failure_reaches_every_caller_and_the_next_batch_runs():
    def fail_on_negative(items):
        if min(items) < 0:
            raise ValueError("negative")
        return encode(items)

    batcher = MicroBatcher(fail_on_negative)
    with pytest.raises(ValueError, match="negative"):
        batcher.submit(-1).result(timeout=10)
    assert batcher.submit(3).result(timeout=10).tolist() == [3, 6]
    batcher.close()


def test_cancelled_items_are_not_encoded():
    began, go, seen = threading.Event(), threading.Event(), []

    def slow(items):
        seen.extend(items)
        began.set()
        assert go.wait(10)
        return encode(items)

    batcher = MicroBatcher(slow)
    first = batcher.submit(1)
    assert began.wait(10)
    second, third = batcher.submit(2), batcher.submit(3)
    assert second.cancel()
    go.set()
    assert first.result(timeout=10)[0] == 1
    assert third.result(timeout=10)[0] == 3
    batcher.close()
    assert seen == [1, 3]


def test_a_lone_caller_is_a_batch_of_its_own():
    batcher = MicroBatcher(encode, wait_ms=5)
    for i in range(20):
        batcher.submit(i).result()
    batcher.close()
    assert batcher.stats().batches == 20


def test_the_cache_forgets_the_oldest():
    cache = VectorCache(size=2)
    for name in ("a", "b", "a", "c"):
        if cache.get(name) is None:
            cache.put(name, np.array([ord(name)], np.float32))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None
