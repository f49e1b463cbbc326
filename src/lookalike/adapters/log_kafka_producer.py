"""Publishing to Kafka: all or an error, with every delivery awaited."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.log_kafka_errors import (
    Trouble,
    kafka_client,
    log_errors,
    silence,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.adapters.log_kafka_options import KafkaOptions

Record = tuple[bytes, bytes, "list[tuple[str, bytes]]"]
"""Key, value and headers of a message."""

_POLL_S: Final = 0.1
_GRACE_S: Final = 1.0
"""How much later than its own deadline a delivery may be reported."""


class Publisher:
    """One idempotent producer, opened at first use; threads may share it."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._trouble = Trouble()
        self._lock = threading.Lock()
        self._opened: Any = None

    def send(self, topic: str, records: Sequence[Record]) -> None:
        """Append messages to a topic, and return when the brokers hold them all.

        On an error some may be there, or arrive yet.
        """
        producer = self._producer()
        deadline = time.monotonic() + self._options.request_timeout_s
        failed: list[Any] = []
        reported: list[None] = []

        def report(error: Any, _: object) -> None:
            if error is not None:
                failed.append(error)
            reported.append(None)

        with self._errors():
            for key, value, headers in records:
                self._produce(producer, deadline, topic, (key, value, headers, report))
            while len(reported) < len(records) and time.monotonic() < deadline + _GRACE_S:
                producer.poll(_POLL_S)
        if failed:
            error = failed[0]
            if any(one.fatal() for one in failed):
                self._drop(producer)
            raise translated(self._options.name, error, self._trouble)
        if len(reported) < len(records):
            raise silence(self._options.name, self._trouble, since_s=30)

    def close(self) -> None:
        """Let the producer go; nothing waits in it, for `send` awaits everything."""
        with self._lock:
            self._opened = None

    def _produce(self, producer: Any, deadline: float, topic: str, record: tuple[Any, ...]) -> None:
        key, value, headers, report = record
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, on_delivery=report)
                return
            except BufferError:  # its queue is full: wait until some were delivered
                if time.monotonic() > deadline:
                    raise
                producer.poll(_POLL_S)

    def _producer(self) -> Any:
        with self._lock:
            if self._opened is None:
                client = kafka_client()
                with self._errors():
                    settings = self._options.producer_settings(self._trouble.note)
                    self._opened = client.Producer(settings)
            return self._opened

    def _drop(self, producer: Any) -> None:
        """Forget a producer that can never be used again; the next `send` makes another."""
        with self._lock:
            if self._opened is producer:
                self._opened = None

    def _errors(self) -> Any:
        return log_errors(self._options.name, self._trouble, since_s=30)
