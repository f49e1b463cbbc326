"""The ingest log in Kafka: one topic that a group of workers shares, and one for dead letters."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from lookalike.adapters.log_entries import (
    MOST_DETAIL,
    MOST_REASON,
    check_sizes,
    fit_text,
    pack_key,
    unpack_key,
)
from lookalike.adapters.log_kafka_admin import KafkaAdmin
from lookalike.adapters.log_kafka_errors import Trouble, kafka_client, log_errors
from lookalike.adapters.log_kafka_member import GroupMember
from lookalike.adapters.log_kafka_producer import Publisher
from lookalike.ports.ingest_log import DeadLetter, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.adapters.log_kafka_options import KafkaOptions
    from lookalike.ports.ingest_log import Entry


class KafkaIngestLog:
    """`ports.ingest_log.IngestLog` over Kafka; threads may share it.

    The group is joined at the first `poll`, so a publisher never takes part in it.
    """

    def __init__(self, options: KafkaOptions, *, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._clock = clock
        self._admin = KafkaAdmin(options)
        self._publisher = Publisher(options)
        self._member = GroupMember(options)
        self._is_checked = False
        self._lock = threading.Lock()

    def publish(self, entries: Sequence[Entry]) -> None:
        """Append messages; every in-sync copy holds them when this returns.

        When it raises, some may be there or arrive yet; publish them all again, for a message
        that comes twice changes nothing.

        Raises:
            MessageTooLargeError: one is over the bound; none of them was appended.
        """
        check_sizes(entries, self._options.most_bytes)
        if entries:
            self._check()
            records = [(pack_key(entry.key), entry.value, []) for entry in entries]
            self._publisher.send(self._options.topic, records)

    def poll(self, *, most: int, timeout_s: float) -> Sequence[Delivery]:
        """Return at most so many messages that this worker has not been given yet.

        When nothing comes, the brokers are asked for a sign of life now and then, which may take
        as long as the options' `request_timeout_s`.
        """
        if most <= 0:
            return []
        self._check()
        return [
            Delivery(
                message.partition(),
                message.offset(),
                unpack_key(message.key()),
                message.value() or b"",
                message.timestamp()[1] / 1000,
            )
            for message in self._member.poll(most, timeout_s)
        ]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """State that messages are done; those that went to another worker meanwhile are its."""
        if deliveries:
            self._member.finish(deliveries)

    def reject(self, delivery: Delivery, reason: str, detail: str) -> None:
        """Copy a message to the dead letters with its reason; then it counts as done."""
        self._check()
        headers = [
            ("reason", fit_text(reason, MOST_REASON).encode()),
            ("detail", fit_text(detail, MOST_DETAIL).encode()),
            ("partition", b"%d" % delivery.partition),
            ("offset", b"%d" % delivery.offset),
            ("failed", repr(self._clock()).encode()),
        ]
        record = (pack_key(delivery.key), delivery.value, headers)
        self._publisher.send(self._options.dead_topic, [record])
        self._member.finish([delivery])

    def rewind(self) -> None:
        """Give out again what this worker was given and has not done."""
        self._member.rewind()

    def lag(self) -> int:
        """Return how many messages are behind the first one of each partition that is not done."""
        self._check()
        return self._admin.lag()

    def dead_letters(self, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return messages that were set aside, the newest first."""
        self._check()
        letters = [_letter(message) for message in self._tail(limit)]
        letters.sort(key=lambda letter: letter.failed, reverse=True)
        return letters[:limit]

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        try:
            self._member.close()
        finally:
            self._publisher.close()

    def _check(self) -> None:
        """Look once whether the topics are there: brokers may make them on use, but not well."""
        with self._lock:
            if not self._is_checked:
                self._admin.check_topics()
                self._is_checked = True

    def _tail(self, limit: int) -> list[Any]:
        """Read the last messages of the dead letters' topic, in no group."""
        topic, client, trouble = self._options.dead_topic, kafka_client(), Trouble()
        spans = {
            n: (max(first, end - limit), end)
            for n, (first, end) in self._admin.span(topic).items()
            if end > first
        }
        if not spans or limit <= 0:
            return []
        settings = self._options.consumer_settings(trouble.note)
        settings["group.id"] = f"{self._options.group}-{secrets.token_hex(4)}"
        left = {n: end - 1 for n, (_, end) in spans.items()}
        found: list[Any] = []
        deadline = time.monotonic() + self._options.request_timeout_s
        with log_errors(self._options.name, trouble, since_s=30):
            consumer = client.Consumer(settings)
            try:
                consumer.assign(
                    [client.TopicPartition(topic, n, first) for n, (first, _) in spans.items()]
                )
                while left and time.monotonic() < deadline:
                    for message in consumer.consume(limit, timeout=0.05):
                        if message.error() is None:
                            found.append(message)
                            if message.offset() >= left.get(message.partition(), 1 << 62):
                                del left[message.partition()]
            finally:
                consumer.close()
        return found


def _letter(message: Any) -> DeadLetter:
    headers = {name: value.decode("utf-8", "replace") for name, value in message.headers() or ()}
    try:
        failed = float(headers.get("failed", ""))
    except ValueError:
        failed = message.timestamp()[1] / 1000
    return DeadLetter(
        headers.get("reason", ""),
        headers.get("detail", ""),
        unpack_key(message.key()),
        message.value() or b"",
        failed,
    )
