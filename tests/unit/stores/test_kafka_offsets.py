"""What a Kafka group may remember: URLs and settings, offsets, what errors mean."""

import sys
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.adapters.log_kafka import KafkaIngestLog
from lookalike.adapters.log_kafka_errors import Trouble, silence, translated
from lookalike.adapters.log_kafka_offsets import Offsets
from lookalike.adapters.log_kafka_options import KafkaOptions
from lookalike.adapters.log_kafka_provision import KafkaProvisioner
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    MissingExtraError,
    UsageError,
)
from lookalike.ports.ingest_log import Entry


def test_a_place_moves_over_what_is_done_and_stops_at_a_gap():
    offsets = Offsets()
    assert offsets.finish([3]) is None  # nothing was given yet: it is another worker's
    assert all(offsets.give(n) for n in (10, 11, 12, 15))
    assert offsets.finish([12]) is None
    assert offsets.finish([10]) == 11
    assert offsets.finish([10, 7]) is None
    assert offsets.finish([11]) == 13
    assert offsets.finish([15]) == 16


def test_what_was_done_beyond_a_gap_is_not_given_again_after_a_rewind():
    offsets = Offsets()
    for n in range(5):
        offsets.give(n)
    offsets.finish([0, 2, 3])
    assert offsets.rewind() == 1
    assert offsets.finish([4]) is None  # finished late, after the rewind
    assert [offsets.give(n) for n in range(1, 5)] == [True, False, False, False]
    assert offsets.finish([1]) == 5
    assert offsets.rewind() is None


@given(st.data())
def test_the_place_is_always_the_first_message_that_is_not_done(data):
    count = data.draw(st.integers(1, 30))
    offsets, done, given_up_to, place = Offsets(), set(), 0, 0
    for _ in range(data.draw(st.integers(1, 40))):
        step = data.draw(st.sampled_from(["give", "finish", "rewind"]))
        if step == "give" and given_up_to < count:
            assert offsets.give(given_up_to) == (given_up_to not in done)
            given_up_to += 1
            if given_up_to - 1 in done:
                offsets.finish()
        elif step == "finish" and given_up_to:
            some = data.draw(st.lists(st.integers(0, given_up_to - 1)))
            done.update(some)
            offsets.finish(some)
        elif step == "rewind":
            while place in done and place < given_up_to:
                place += 1
            first = offsets.rewind()
            assert first == (place if place < given_up_to else None)
            given_up_to = place if first is not None else given_up_to


def test_a_url_names_servers_and_topic():
    options = KafkaOptions.from_url("kafka://one:9092,two:9093/pictures", partitions=3)
    assert options.servers == ("one:9092", "two:9093")
    assert options.name == "kafka://one:9092,two:9093/pictures"
    assert options.dead_topic == "pictures.dead"
    assert options.client_settings(print)["security.protocol"] == "plaintext"


def test_credentials_ask_for_a_safe_connection_and_are_not_shown():
    options = KafkaOptions.from_url("kafka://one:9092/t", username="me", password="secret")
    settings = options.client_settings(print)
    assert settings["security.protocol"] == "sasl_ssl"
    assert settings["sasl.password"] == "secret"
    assert "secret" not in repr(options) + options.name


@pytest.mark.parametrize(
    "url",
    [
        "", "kafka://one:9092", "kafka://one:9092/", "kafka://one/t", "kafka://one:port/t",
        "kafka://one:0/t", "kafka://:9092/t", "kafka://me:secret@one:9092/t", "http://one:1/t",
        "kafka://one:9092/a/b", "kafka://one:9092/é", "kafka://one:9092/..",
        "kafka://one:9092/t?group=x", "kafka://one:9092,/t", f"kafka://one:9092/{'t' * 241}",
    ],
)  # fmt: skip
def test_other_urls_are_refused_without_repeating_a_secret(url):
    with pytest.raises(UsageError) as caught:
        KafkaOptions.from_url(url)
    assert caught.value.hint
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"gruop": "x"},
        {"servers": ("x:1",)},
        {"partitions": 0},
        {"partitions": "3"},
        {"partitions": True},
        {"request_timeout_s": -1},
        {"retention_h": -1},
        {"security": "tls"},
        {"username": "me"},
        {"password": "secret"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError) as caught:
        KafkaOptions.from_url("kafka://one:9092/t", **settings)
    assert caught.value.hint


@dataclass
class Complaint:
    code: str
    text: str = ""

    def name(self):
        return self.code

    def str(self):
        return self.text


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("SASL_AUTHENTICATION_FAILED", BackendAuthError),
        ("GROUP_AUTHORIZATION_FAILED", BackendAuthError),
        ("UNKNOWN_TOPIC_OR_PART", BackendMissingError),
        ("_TRANSPORT", BackendUnreachableError),
        ("_MSG_TIMED_OUT", BackendTimeoutError),
        ("NOT_ENOUGH_REPLICAS", BackendTimeoutError),
        ("UNSUPPORTED_VERSION", BackendVersionError),
        ("KAFKA_STORAGE_ERROR", BackendFullError),
        ("INVALID_PARTITIONS", BackendError),
    ],
)
def test_errors_of_the_client_become_ours(code, kind):
    error = translated("kafka://one:1/t", Complaint(code), Trouble())
    assert type(error) is kind
    assert error.hint
    assert error.backend == "kafka://one:1/t"


def test_a_silence_is_explained_by_what_the_client_said():
    trouble = Trouble()
    assert type(silence("k", trouble, since_s=9)) is BackendTimeoutError
    trouble.note(Complaint("_TRANSPORT", "one:1: Connect to ipv4#1 failed: Connection refused"))
    trouble.note(Complaint("_ALL_BROKERS_DOWN", "1/1 brokers are down"))
    assert type(silence("k", trouble, since_s=9)) is BackendUnreachableError
    assert type(silence("k", trouble, since_s=0)) is BackendTimeoutError  # long ago
    trouble.note(Complaint("_AUTHENTICATION", "SASL authentication error"))
    assert type(silence("k", trouble, since_s=9)) is BackendAuthError
    slow = translated("k", Complaint("_TIMED_OUT"), trouble)
    assert type(slow) is BackendAuthError


def test_without_the_client_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    options = KafkaOptions.from_url("kafka://one:9092/t")
    log = KafkaIngestLog(options)
    for call in (
        lambda: log.publish([Entry("a", b"1")]),
        lambda: log.poll(most=1, timeout_s=0),
        log.lag,
        log.dead_letters,
        KafkaProvisioner(options).prepare,
    ):
        with pytest.raises(MissingExtraError) as caught:
            call()
        assert caught.value.hint == "pip install 'lookalike[kafka]'"
    (finding,) = KafkaProvisioner(options).check()
    assert "lookalike[kafka]" in finding.remedy
    log.close()
