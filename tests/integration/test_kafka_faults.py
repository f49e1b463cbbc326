"""A Kafka log whose broker is away, hangs or lacks the topic; topics made and inspected."""

import secrets
import socket
import time
from contextlib import contextmanager, suppress

import pytest

from lookalike.adapters.log_kafka import KafkaIngestLog
from lookalike.adapters.log_kafka_admin import KafkaAdmin
from lookalike.adapters.log_kafka_options import KafkaOptions
from lookalike.adapters.log_kafka_provision import KafkaProvisioner
from lookalike.domain.errors import (
    BackendError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
)
from lookalike.ports.ingest_log import Delivery, Entry
from tests.logs import drop_topics
from tests.pausing import paused
from tests.real_services import need

pytestmark = pytest.mark.service

CALLS = {
    "publish": lambda log: log.publish([Entry("a", b"1")]),
    "poll": lambda log: log.poll(most=1, timeout_s=0.2),
    "lag": lambda log: log.lag(),
    "dead_letters": lambda log: log.dead_letters(),
    "reject": lambda log: log.reject(Delivery(0, 0, "a", b"1"), "reason", "detail"),
}


def a_closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def url():
    url = f"{need('kafka')}/tests-{secrets.token_hex(8)}"
    KafkaProvisioner(KafkaOptions.from_url(url, partitions=2)).prepare()
    yield url
    drop_topics(url)


def opened(url, **settings):
    quick = {"session_timeout_s": 6.0, "request_timeout_s": 10.0}
    return KafkaIngestLog(KafkaOptions.from_url(url, **(quick | settings)))


def polled(log, count=1, patience_s=20):
    deadline, taken = time.monotonic() + patience_s, []
    while len(taken) < count and time.monotonic() < deadline:
        with suppress(BackendTimeoutError):  # a broker that is busy is asked again
            taken += log.poll(most=10, timeout_s=0.3)
    return taken


def eventually(call, patience_s=90):
    """Call until it is answered: a broker that hung may lose its controller for a while again."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except (BackendTimeoutError, BackendUnreachableError):
            if time.monotonic() > deadline:
                raise


@contextmanager
def hung_broker(url):
    """Let the broker hang, and wait afterwards until it and its controller answer again."""
    with paused("kafka"):
        yield
    admin = KafkaAdmin(KafkaOptions.from_url(url, request_timeout_s=5.0))
    assert eventually(lambda: admin.partitions(KafkaOptions.from_url(url).topic))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_nothing_at_the_address(call, host, capfd):
    log = opened(f"kafka://{host}:{a_closed_port()}/pictures", request_timeout_s=0.7)
    started = time.monotonic()
    with pytest.raises(BackendUnreachableError) as caught:
        CALLS[call](log)
    assert time.monotonic() - started < 3
    assert caught.value.backend.startswith(f"kafka://{host}:")
    assert caught.value.hint
    log.close()
    assert capfd.readouterr().err == ""  # librdkafka would rather talk there


@pytest.mark.parametrize("call", CALLS)
def test_the_topic_was_not_made(call):
    log = opened(f"{need('kafka')}/tests-{secrets.token_hex(8)}")
    with pytest.raises(BackendMissingError) as caught:
        CALLS[call](log)
    assert caught.value.hint == "lookalike init-cluster --config FILE"
    log.close()


def test_credentials_for_a_broker_that_asks_for_none():
    url = f"{need('kafka')}/tests-{secrets.token_hex(8)}"
    options = KafkaOptions.from_url(
        url,
        username="me",
        password="secret",
        security="sasl_plaintext",
        sasl_mechanism="PLAIN",
        request_timeout_s=1.0,
    )
    with pytest.raises(BackendError) as caught:
        KafkaIngestLog(options).publish([Entry("a", b"1")])
    assert "secret" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.outage
def test_a_broker_that_hangs(url, capfd):
    log, other = opened(url, request_timeout_s=0.6), opened(url)
    other.publish([Entry("a", b"1"), Entry("a", b"2")])
    other.close()
    taken = polled(log, 2)
    with hung_broker(url):
        for call in (
            lambda: log.publish([Entry("a", b"3")]),
            lambda: log.poll(most=1, timeout_s=0.7),
            log.lag,
        ):
            started = time.monotonic()
            with pytest.raises((BackendTimeoutError, BackendUnreachableError)):
                call()
            assert time.monotonic() - started < 2.5
    log.close()
    patient = opened(url)
    eventually(lambda: patient.publish([Entry("b", b"4")]))
    again, deadline = [], time.monotonic() + 60
    while not {d.value for d in again} >= {b"1", b"2", b"4"}:  # nothing was acknowledged
        assert time.monotonic() < deadline
        again += polled(patient)
    eventually(lambda: patient.acknowledge(again))
    patient.close()
    assert taken
    assert capfd.readouterr().err == ""


@pytest.mark.outage
def test_an_acknowledgement_and_a_leave_do_not_wait_for_ever(url):
    log, patient = opened(url, request_timeout_s=0.6), opened(url)
    patient.publish([Entry("a", b"1")])
    taken = polled(log)
    with hung_broker(url):
        started = time.monotonic()
        with pytest.raises((BackendTimeoutError, BackendUnreachableError)):
            log.acknowledge(taken)
        assert time.monotonic() - started < 1.5
    eventually(lambda: log.poll(most=1, timeout_s=3))  # says what it could not say before
    eventually(log.rewind)
    assert eventually(lambda: log.poll(most=1, timeout_s=1)) == []
    assert eventually(log.lag) == 0
    eventually(lambda: patient.publish([Entry("a", b"1")]))
    taken = polled(log)
    eventually(lambda: log.acknowledge(taken))
    patient.close()
    with hung_broker(url):
        started = time.monotonic()
        log.close()
        assert time.monotonic() - started < 2.5


def test_a_busy_worker_keeps_its_messages_and_lets_others_join(url):
    busy, other = opened(url, session_timeout_s=6.0), opened(url)
    busy.publish([Entry(f"key-{n}", b"%d" % n) for n in range(20)])
    held = polled(busy, 20)
    assert len(held) == 20
    joined = polled(other, 1, patience_s=1)  # now the group is shared out anew
    time.sleep(8)  # longer than the session: an encoder at work polls nothing
    joined += polled(other, 1, patience_s=1)
    theirs = {d.partition for d in joined}
    assert len(theirs) <= 1  # what went over was given again; the rest stays with the busy one
    busy.publish([Entry(f"new-{n}", b"x") for n in range(40)])
    mine = polled(busy, 1, patience_s=5)
    assert mine
    assert not {d.partition for d in mine} & theirs
    assert all(d.value == b"x" for d in mine)
    busy.close()
    other.close()


def test_topics_are_made_once_inspected_and_mended():
    url = f"{need('kafka')}/tests-{secrets.token_hex(8)}"
    options = KafkaOptions.from_url(url, partitions=4)
    provisioner = KafkaProvisioner(options)
    assert [f.state for f in provisioner.check()] == ["ok", "error"]
    assert provisioner.check()[-1].remedy == "lookalike init-cluster --config FILE"
    assert provisioner.prepare() == [
        f"the topic {options.topic}",
        f"the topic {options.dead_topic}",
    ]
    assert provisioner.prepare() == []
    assert {f.state for f in provisioner.check()} == {"ok"}
    admin = KafkaAdmin(options)
    assert admin.configuration(options.topic)["retention.ms"] == str(7 * 24 * 3_600_000)
    admin.configure(options.topic, {"max.message.bytes": "1000"})
    assert [f.name for f in provisioner.check() if f.state == "error"] == ["log bound"]
    log = opened(url)
    with pytest.raises(BackendSchemaError):
        log.publish([Entry("a", secrets.token_bytes(5000))])
    log.close()
    assert provisioner.prepare() == [f"the bound of the topic {options.topic}"]
    wider = KafkaProvisioner(KafkaOptions.from_url(url, partitions=8))
    assert wider.prepare() == []  # more partitions would part messages of a key
    assert [f.name for f in wider.check() if f.state == "warning"] == ["log topics"]
    log = opened(url)
    log.publish([Entry("a", b"1")])
    log.reject(polled(log)[0], "malformed", "no")
    log.close()
    assert [f.name for f in provisioner.check() if f.state == "warning"] == ["log dead letters"]
    drop_topics(url)


def test_a_broker_that_is_away_is_a_finding():
    options = KafkaOptions.from_url(f"kafka://127.0.0.1:{a_closed_port()}/t", request_timeout_s=0.5)
    (finding,) = KafkaProvisioner(options).check()
    assert (finding.name, finding.state) == ("log", "error")
    assert finding.remedy
