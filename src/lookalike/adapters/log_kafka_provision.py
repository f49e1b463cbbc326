"""Topics of the Kafka log, made and inspected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lookalike.adapters.log_kafka_admin import KafkaAdmin
from lookalike.domain.errors import LookalikeError
from lookalike.domain.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lookalike.adapters.log_kafka_options import KafkaOptions

MOST_WAITING: Final = 10_000
"""More messages than this are worth a warning."""

_BOUND: Final = "max.message.bytes"
_INIT: Final = "lookalike init-cluster --config FILE"


class KafkaProvisioner:
    """`ports.provision.Provisioner` of a topic and its dead letters."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._admin = KafkaAdmin(options)
        self.name = options.name

    def prepare(self) -> Sequence[str]:
        """Make the topics unless they are there, and raise their bound where it is too low.

        Raises:
            BackendError: the brokers cannot be reached, or refuse.
        """
        options, made = self._options, list[str]()
        retention = str(options.retention_h * 3_600_000) if options.retention_h else "-1"
        bound = str(options.most_record_bytes)
        settings = {_BOUND: bound, "cleanup.policy": "delete", "retention.ms": retention}
        # Dead letters are few, wait for a person, and are read newest first: one partition.
        for topic, partitions, kept in (
            (options.topic, options.partitions, retention),
            (options.dead_topic, 1, "-1"),
        ):
            if self._admin.make(topic, partitions, settings | {"retention.ms": kept}):
                made.append(f"the topic {topic}")
            elif self._bound_of(topic) < options.most_record_bytes:
                self._admin.configure(topic, {_BOUND: bound})
                made.append(f"the bound of the topic {topic}")
        return made

    def check(self) -> Sequence[Finding]:
        """Look at the brokers, the topics, and what waits in them."""
        findings: list[Finding] = []
        try:
            findings.extend(self._findings())
        except LookalikeError as error:
            findings.append(Finding("log", "error", error.message, error.hint))
        return findings

    def _findings(self) -> Iterator[Finding]:
        brokers = self._admin.brokers()
        yield Finding("log", "ok", f"{self.name}: {len(brokers)} brokers")
        for topic, wanted in (
            (self._options.topic, self._options.partitions),
            (self._options.dead_topic, 1),
        ):
            count = self._admin.partitions(topic)
            if not count:
                yield Finding("log topics", "error", f"there is no topic {topic}", _INIT)
                return
            yield self._shape(topic, count, wanted)
            if self._bound_of(topic) < self._options.most_record_bytes:
                detail = f"{topic} takes messages of {self._bound_of(topic)} bytes at most"
                yield Finding("log bound", "error", detail, _INIT)
        yield self._waiting()
        dead = sum(
            end - first for first, end in self._admin.span(self._options.dead_topic).values()
        )
        if dead:
            remedy = "mend what their reasons name, then publish those pictures again"
            detail = f"{dead} messages were set aside in {self._options.dead_topic}"
            yield Finding("log dead letters", "warning", detail, remedy)

    def _shape(self, topic: str, count: int, wanted: int) -> Finding:
        copies, in_sync = self._admin.replication(topic)
        detail = f"{topic}: {count} partitions, {in_sync} of {copies} copies in sync"
        if in_sync < copies:
            return Finding("log topics", "warning", detail, "look after the broker that lags")
        if copies < self._options.replication:
            remedy = f"give it {self._options.replication} copies with kafka-reassign-partitions"
            return Finding("log topics", "warning", detail, remedy)
        if count < wanted:
            remedy = (
                f"let the workers finish, then: kafka-topics --alter --topic {topic}"
                f" --partitions {wanted}"
            )
            return Finding("log topics", "warning", f"{detail}; {wanted} are asked for", remedy)
        return Finding("log topics", "ok", detail)

    def _waiting(self) -> Finding:
        waiting = self._admin.lag()
        if waiting > MOST_WAITING:
            remedy = "start more workers: lookalike worker --config FILE"
            return Finding("log waiting", "warning", f"{waiting} messages wait", remedy)
        return Finding("log waiting", "ok", f"{waiting} messages wait")

    def _bound_of(self, topic: str) -> int:
        return int(self._admin.configuration(topic).get(_BOUND, "0"))
