"""How a Kafka log is reached, and what librdkafka is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from lookalike.adapters.log_settings import read_settings
from lookalike.domain.errors import UsageError, suggest_names
from lookalike.domain.ingest_messages import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_SECURITY: Final = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_NAME_LETTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)
_MOST_NAME: Final = 240
"""Kafka takes 249 characters for a topic; the dead letters' topic has some more than its log's."""

_ENVELOPE_BYTES: Final = 64 << 10
"""What key, headers and framing may add to a message."""

_LONGEST_POLL_MS: Final = 24 * 3600 * 1000
_KEY_HASH: Final = "murmur2"
"""Java's hash of keys, so that publishers in either language agree; the empty key has one too."""


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """A topic, its group of workers, and the deadlines of every call.

    `partitions` bounds how many workers share the log, and is only heeded when the topic is made;
    so is `replication`. `retention_h` is how long messages are kept, done or not; 0 keeps them
    for good. A worker that is silent for `session_timeout_s` is taken for dead.
    """

    servers: tuple[str, ...]
    topic: str
    group: str = "lookalike-workers"
    partitions: int = 12
    replication: int = 1
    retention_h: int = 7 * 24
    security: str = ""
    sasl_mechanism: str = "SCRAM-SHA-512"
    ca_path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    request_timeout_s: float = 10.0
    session_timeout_s: float = 15.0
    compression: str = "lz4"
    most_bytes: int = MOST_BYTES

    @classmethod
    def from_url(
        cls, url: str, *, username: str = "", password: str = "", **settings: object
    ) -> Self:
        """Read `kafka://host:port[,host:port]/topic`.

        Raises:
            UsageError: the URL is not one, or a setting is unknown or wrong.
        """
        servers, topic = _place(url)
        values = read_settings(cls, settings, taken=("username", "password"))
        options = cls(servers, topic, username=username, password=password, **values)
        numbers = (
            options.partitions,
            options.replication,
            options.request_timeout_s,
            options.session_timeout_s,
            options.most_bytes,
        )
        if min(numbers) <= 0 or options.retention_h < 0:
            raise UsageError("numbers of an ingest log are above 0", hint="leave them out")
        if options.security and options.security not in _SECURITY:
            raise UsageError(
                f"there is no security {options.security!r}",
                hint=suggest_names(options.security, _SECURITY),
            )
        if bool(username) != bool(password):
            raise UsageError("a user and the password go together", hint="give both, or none")
        return options

    @property
    def name(self) -> str:
        """Return how errors name the log."""
        return f"kafka://{','.join(self.servers)}/{self.topic}"

    @property
    def dead_topic(self) -> str:
        """Return the topic of the messages that were set aside."""
        return f"{self.topic}.dead"

    @property
    def most_record_bytes(self) -> int:
        """Return the bound of a message with all that travels with it."""
        return self.most_bytes + _ENVELOPE_BYTES

    def client_settings(self, on_error: Callable[[Any], None]) -> dict[str, Any]:
        """Return what every client of the log is told."""
        timeout_ms = int(self.request_timeout_s * 1000)
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(self.servers),
            "client.id": "lookalike",
            "log_level": 0,  # what matters comes back as an error
            "log.connection.close": False,
            "error_cb": on_error,
            "socket.timeout.ms": max(timeout_ms, 100),
            "socket.connection.setup.timeout.ms": max(timeout_ms, 1000),
            "api.version.request.timeout.ms": max(timeout_ms, 100),
            "reconnect.backoff.max.ms": 2000,
            "security.protocol": self.security or ("sasl_ssl" if self.username else "plaintext"),
        }
        if self.username:
            settings["sasl.mechanism"] = self.sasl_mechanism
            settings["sasl.username"] = self.username
            settings["sasl.password"] = self.password
        if self.ca_path:
            settings["ssl.ca.location"] = self.ca_path
        return settings

    def producer_settings(self, on_error: Callable[[Any], None]) -> dict[str, Any]:
        """Return what a client that publishes is told."""
        return self.client_settings(on_error) | {
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": self.compression,
            "partitioner": _KEY_HASH,
            "linger.ms": 2,
            "message.max.bytes": self.most_record_bytes,
            "delivery.timeout.ms": int(self.request_timeout_s * 1000),
        }

    def consumer_settings(self, on_error: Callable[[Any], None]) -> dict[str, Any]:
        """Return what a worker's client is told."""
        session_ms = int(self.session_timeout_s * 1000)
        return self.client_settings(on_error) | {
            "group.id": self.group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": max(session_ms // 5, 100),
            # A batch may take long: a dead worker is known by its heartbeats alone.
            "max.poll.interval.ms": _LONGEST_POLL_MS,
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": self.most_record_bytes,
            "queued.max.messages.kbytes": 32 << 10,
        }


def _place(url: str) -> tuple[tuple[str, ...], str]:
    example = "as in kafka://host:9092,other:9092/topic"
    parts = urlsplit(url)
    topic = parts.path.strip("/")
    if parts.scheme != "kafka" or "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError("this is no URL of a Kafka log, which names no user", hint=example)
    if not topic or set(topic) - _NAME_LETTERS or len(topic) > _MOST_NAME or topic in {".", ".."}:
        raise UsageError(f"{topic[:80]!r} cannot be the name of a topic", hint=example)
    servers = tuple(parts.netloc.split(","))
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise UsageError(f"{server[:80]!r} is no host:port", hint=example)
    return servers, topic
