"""What every ingest log promises; a new back end adds one line to `LOGS`."""

import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from lookalike.domain.errors import BackendError, MessageTooLargeError
from lookalike.domain.ingest_messages import MOST_BYTES
from lookalike.ports.ingest_log import Entry
from tests.conftest import ROOT
from tests.logs import drop_topics, open_log, settle
from tests.real_services import need

PATIENCE_S = 40.0


def sqlite_url(tmp_path):
    return (tmp_path / "my log %20é").as_uri()


def kafka_url(tmp_path):
    from lookalike.adapters.log_kafka_options import KafkaOptions
    from lookalike.adapters.log_kafka_provision import KafkaProvisioner

    url = f"{need('kafka')}/tests-{secrets.token_hex(8)}"
    KafkaProvisioner(KafkaOptions.from_url(url, partitions=3)).prepare()
    return url


LOGS = {"sqlite": sqlite_url, "kafka": kafka_url}
PARAMS = ["sqlite", pytest.param("kafka", marks=pytest.mark.service)]


@pytest.fixture(params=PARAMS)
def url(request, tmp_path):
    place = LOGS[request.param](tmp_path)
    yield place
    if request.param == "kafka":
        drop_topics(place)


@pytest.fixture
def logs(url):
    """Opens logs at the one place, and closes them."""
    opened = []

    def open_another():
        opened.append(open_log(url))
        return opened[-1]

    yield open_another
    for log in opened:
        log.close()


@pytest.fixture
def log(logs):
    return logs()


@contextmanager
def worker(url):
    """A log that is closed within the test."""
    log = open_log(url)
    try:
        yield log
    finally:
        log.close()


def entries(count, key="key-{}", size=0):
    return [Entry(key.format(n), b"%d" % n + b"." * size) for n in range(count)]


def take(log, count, *, most=50):
    """Poll until so many messages came, or patience ended."""
    taken = []
    deadline = time.monotonic() + PATIENCE_S
    while len(taken) < count and time.monotonic() < deadline:
        taken += log.poll(most=most, timeout_s=0.5)
    return taken


def is_empty(log):
    return not log.poll(most=10, timeout_s=0.7)


def test_what_was_published_is_delivered(log):
    before = time.time()
    log.publish([Entry("a", b"one"), Entry("b", b"two")])
    taken = take(log, 2)
    assert {(d.key, d.value) for d in taken} == {("a", b"one"), ("b", b"two")}
    assert all(before - 1 <= d.published <= time.time() + 1 for d in taken)
    assert len({(d.partition, d.offset) for d in taken}) == 2
    assert is_empty(log)


def test_nothing_published_is_nothing_delivered(log):
    log.publish([])
    started = time.monotonic()
    assert list(log.poll(most=5, timeout_s=0.2)) == []
    assert time.monotonic() - started < PATIENCE_S
    assert log.lag() == 0
    assert list(log.dead_letters()) == []


def test_at_most_so_many_are_given_at_once(log):
    log.publish(entries(20))
    assert list(log.poll(most=0, timeout_s=0.1)) == []
    taken = []
    while len(taken) < 20:
        some = log.poll(most=3, timeout_s=PATIENCE_S)
        assert 0 < len(some) <= 3
        taken += some
    assert {d.value for d in taken} == {e.value for e in entries(20)}


def test_what_is_not_acknowledged_comes_again_after_a_restart(url):
    with worker(url) as log:
        log.publish(entries(6))
        taken = take(log, 6)
        done = {d.key for d in taken if d.key in {"key-0", "key-1"}}
        log.acknowledge([d for d in taken if d.key in done])
    with worker(url) as log:
        again = {d.key for d in take(log, 4)}
        assert {"key-2", "key-3", "key-4", "key-5"} <= again
        log.acknowledge(take(log, 0))


def test_what_is_acknowledged_never_comes_again(url):
    with worker(url) as log:
        log.publish(entries(8))
        log.acknowledge(take(log, 8))
        assert log.lag() == 0
    with worker(url) as log:
        log.publish([Entry("new", b"new")])
        assert [d.key for d in take(log, 1)] == ["new"]
        assert is_empty(log)


def test_messages_are_acknowledged_in_any_order(url):
    with worker(url) as log:
        log.publish(entries(9, key="one"))
        taken = take(log, 9)
        for index in (8, 2, 0, 5, 1, 7, 6, 4, 3):
            log.acknowledge([taken[index]])
        assert log.lag() == 0
    with worker(url) as log:
        assert is_empty(log)


def test_a_gap_keeps_what_was_not_done(url):
    with worker(url) as log:
        log.publish(entries(5, key="one"))
        taken = take(log, 5)
        log.acknowledge(taken[:1] + taken[2:])
        assert log.lag() >= 1
    with worker(url) as log:
        assert take(log, 1)[0].value == b"1"


def test_messages_of_a_key_keep_their_order(logs):
    first, second = logs(), logs()
    first.publish([Entry(f"key-{n % 5}", b"%d" % n) for n in range(100)])
    seen, total = {}, 0
    deadline = time.monotonic() + PATIENCE_S
    while total < 100 and time.monotonic() < deadline:
        for log in (first, second):
            some = log.poll(most=7, timeout_s=0.2)
            for delivery in some:
                seen.setdefault(delivery.key, []).append(int(delivery.value))
            log.acknowledge(some)
            total += len(some)
    assert total >= 100
    for numbers in seen.values():
        firsts = list(dict.fromkeys(numbers))  # a message may come again when workers join
        assert firsts == sorted(firsts)
        assert len(firsts) == 20


def test_a_key_that_is_with_another_worker_waits(logs):
    first, second = logs(), logs()
    settle(first, second)
    first.publish([Entry("one", b"1"), Entry("one", b"2")])
    holder, other, held = first, second, []
    while not held:
        held = holder.poll(most=1, timeout_s=0.5)
        holder, other = (holder, other) if held else (other, holder)
    assert [d.value for d in held] == [b"1"]
    assert list(other.poll(most=5, timeout_s=0.7)) == []
    holder.acknowledge(held)
    rest = [*holder.poll(most=5, timeout_s=0.7), *other.poll(most=5, timeout_s=0.7)]
    assert [d.value for d in rest] == [b"2"]


def test_two_workers_share_without_doubling(logs):
    first, second = logs(), logs()
    settle(first, second)
    first.publish(entries(200))

    def work(log):
        done = []
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and (log.lag() or not done):
            some = log.poll(most=10, timeout_s=0.3)
            time.sleep(0.01)
            log.acknowledge(some)
            done += some
        return [d.value for d in done]

    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(work, (first, second)))
    assert all(shares)
    assert sorted(shares[0] + shares[1]) == sorted(e.value for e in entries(200))


def test_a_killed_worker_loses_nothing(url):
    with worker(url) as log:
        log.publish(entries(5))
    command = [sys.executable, "-m", "tests.logs", url, "5"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            count, done = process.stdout.readline().split()
        finally:
            process.kill()
    assert count == "5"
    with worker(url) as log:
        again = {d.key for d in take(log, 4)}
        assert again >= {e.key for e in entries(5)} - {done}


def test_a_worker_that_leaves_hands_over_at_once(url):
    with worker(url) as log:
        log.publish(entries(4))
        assert len(take(log, 4)) == 4
    started = time.monotonic()
    with worker(url) as log:
        assert len({d.key for d in take(log, 4)}) == 4
    assert time.monotonic() - started < 15


def test_rewinding_gives_again_what_is_not_acknowledged(log):
    log.publish(entries(10))
    taken = take(log, 10)
    done = [d for d in taken if int(d.value) % 2]
    log.acknowledge(done)
    log.rewind()
    again = take(log, 5)
    assert {d.value for d in again} >= {b"0", b"2", b"4", b"6", b"8"}
    log.acknowledge(again)
    log.rewind()
    assert is_empty(log)
    assert log.lag() == 0


def test_a_rejected_message_is_set_aside_with_its_reason(url):
    with worker(url) as log:
        log.publish([Entry("good", b"1"), Entry("bad é", b"\xff\0poison")])
        taken = take(log, 2)
        before = time.time()
        (bad,) = [d for d in taken if d.key == "bad é"]
        log.reject(bad, "malformed", "not JSON: é \udcff")
        log.acknowledge([d for d in taken if d is not bad])
        assert log.lag() == 0
    with worker(url) as log:
        assert is_empty(log)
        (letter,) = log.dead_letters()
    assert (letter.reason, letter.key, letter.value) == ("malformed", "bad é", b"\xff\0poison")
    assert letter.detail.startswith("not JSON: é")
    assert before - 1 <= letter.failed <= time.time() + 1


def test_dead_letters_come_newest_first(log):
    log.publish(entries(6, key="one"))
    for delivery in take(log, 6):
        log.reject(delivery, f"reason-{int(delivery.value)}", "x" * 10_000)
    assert [d.reason for d in log.dead_letters(limit=3)] == ["reason-5", "reason-4", "reason-3"]
    assert len(log.dead_letters()) == 6
    assert 0 < len(log.dead_letters()[0].detail) < 10_000


def test_the_lag_counts_what_is_not_done(log):
    log.publish(entries(12))
    assert log.lag() == 12
    taken = take(log, 12)
    assert log.lag() == 12
    log.acknowledge(taken)
    assert log.lag() == 0


def test_a_message_of_the_bound_passes_and_a_larger_one_is_refused(log):
    large = Entry("large", b"x" * MOST_BYTES)
    with pytest.raises(MessageTooLargeError):
        log.publish([Entry("small", b"1"), Entry("huge", b"x" * (MOST_BYTES + 1))])
    with pytest.raises(MessageTooLargeError):
        log.publish([Entry("small", b"1"), Entry("x" * 100_000, b"1")])
    assert log.lag() == 0
    log.publish([large])
    (delivery,) = take(log, 1)
    assert delivery.value == large.value


@pytest.mark.parametrize("key", ["", "é日本", "a" * 2000, "with space/and?more", "odd \udcff"])
def test_any_text_is_a_key(log, key):
    log.publish([Entry(key, b"1"), Entry(key, b"2"), Entry(key, b"")])
    assert [(d.key, d.value) for d in take(log, 3)] == [(key, b"1"), (key, b"2"), (key, b"")]


def test_five_thousand_messages_pass_in_seconds(log):
    sent = entries(5000, size=500)
    started = time.monotonic()
    for start in range(0, 5000, 250):
        log.publish(sent[start : start + 250])
    received = set()
    while len(received) < 5000 and time.monotonic() - started < PATIENCE_S:
        some = log.poll(most=250, timeout_s=0.5)
        received |= {d.value for d in some}
        log.acknowledge(some)
    assert received == {e.value for e in sent}
    assert log.lag() == 0
    assert time.monotonic() - started < 30


def test_threads_may_acknowledge_while_another_polls(log):
    log.publish(entries(300))
    with ThreadPoolExecutor(4) as pool:
        tasks, count = [], 0
        deadline = time.monotonic() + PATIENCE_S
        while count < 300 and time.monotonic() < deadline:
            some = log.poll(most=20, timeout_s=0.5)
            count += len(some)
            tasks.append(pool.submit(log.acknowledge, some))
        for task in tasks:
            task.result()
    assert count == 300
    assert log.lag() == 0


def test_a_closed_log_is_closed(logs):
    log = logs()
    log.publish(entries(1))
    taken = take(log, 1)
    log.close()
    log.close()
    logs().close()
    for call in (
        lambda: log.poll(most=1, timeout_s=0),
        lambda: log.acknowledge(taken),
        log.rewind,
    ):
        with pytest.raises(BackendError, match="closed"):
            call()
