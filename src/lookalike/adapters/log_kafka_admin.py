"""Topics, offsets and configurations of a Kafka cluster, by its administrative calls."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.log_kafka_errors import (
    Trouble,
    kafka_admin,
    kafka_client,
    log_errors,
    silence,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from lookalike.adapters.log_kafka_options import KafkaOptions

_PASSING: Final = frozenset(
    ("COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "LEADER_NOT_AVAILABLE",
     "NOT_COORDINATOR", "NOT_LEADER_FOR_PARTITION", "UNKNOWN_TOPIC_OR_PART")
)  # fmt: skip
"""What a cluster answers for moments after a topic or the first group was made."""

_PAUSE_S: Final = 0.1


class KafkaAdmin:
    """Calls that are made for one topic and its group, each under the options' deadline."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._trouble = Trouble()

    def brokers(self) -> Sequence[str]:
        """Return the cluster's brokers, each as host:port."""
        answer = self._result(lambda client, s: client.describe_cluster(request_timeout=s))
        return [f"{node.host}:{node.port}" for node in answer.nodes]

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; 0 when there is no such topic."""
        description = self._describe(topic)
        return len(description.partitions) if description else 0

    def replication(self, topic: str) -> tuple[int, int]:
        """Return the least copies of a partition that are asked for, and that are in sync."""
        parts = self._describe(topic).partitions
        return min(len(p.replicas) for p in parts), min(len(p.isr) for p in parts)

    def configuration(self, topic: str) -> Mapping[str, str]:
        """Return a topic's settings."""
        admin = kafka_admin()
        resource = admin.ConfigResource(admin.ResourceType.TOPIC, topic)
        answer = self._result(
            lambda client, s: client.describe_configs([resource], request_timeout=s)[resource]
        )
        return {name: str(entry.value) for name, entry in answer.items()}

    def configure(self, topic: str, settings: Mapping[str, str]) -> None:
        """Change some of a topic's settings."""
        admin = kafka_admin()
        entries = [
            admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = admin.ConfigResource(
            admin.ResourceType.TOPIC, topic, incremental_configs=entries
        )
        self._result(
            lambda client, s: client.incremental_alter_configs([resource], request_timeout=s)[
                resource
            ]
        )

    def make(self, topic: str, partitions: int, settings: Mapping[str, str]) -> bool:
        """Make a topic and wait until it can be used; tell whether it was made just now."""
        if self.partitions(topic):
            return False
        new = kafka_admin().NewTopic(
            topic,
            num_partitions=partitions,
            replication_factor=self._options.replication,
            config=dict(settings),
        )
        is_made = self._result(
            lambda client, s: client.create_topics([new], request_timeout=s)[topic],
            passing="TOPIC_ALREADY_EXISTS",
        )
        deadline = time.monotonic() + self._options.request_timeout_s
        while not self.partitions(topic):
            if time.monotonic() > deadline:
                raise silence(self._options.name, self._trouble, since_s=0, detail="new topic")
            time.sleep(_PAUSE_S)
        return is_made is not False

    def lag(self) -> int:
        """Return how far the group's remembered places are behind the ends."""
        spec, topic = kafka_admin().OffsetSpec, self._options.topic
        reached = self._reached(topic)
        firsts = self.offsets(topic, spec.earliest())
        ends = self.offsets(topic, spec.latest())
        return sum(end - max(reached.get(n, 0), firsts[n]) for n, end in ends.items())

    def _reached(self, topic: str) -> Mapping[int, int]:
        """Return how far the group remembers to have come in each partition; below 0 for unsaid.

        Asked by a consumer that joins nothing: the administrative call for it ends the process
        when a broker that has just come back is not the group's coordinator yet
        (https://github.com/confluentinc/librdkafka/issues/5040).
        """
        client = kafka_client()
        asked = [client.TopicPartition(topic, n) for n in range(self.partitions(topic))]

        def ask(timeout_s: float) -> Mapping[int, int]:
            found = self._reader.committed(asked, timeout=timeout_s)
            for place in found:
                if place.error is not None:
                    raise client.KafkaException(place.error)
            return {place.partition: place.offset for place in found}

        return self._patiently(ask, lambda: self._reader) if asked else {}

    def offsets(self, topic: str, which: Any) -> Mapping[int, int]:
        """Return each partition's first or last offset."""
        partition_of = kafka_client().TopicPartition
        asked = {partition_of(topic, n): which for n in range(self.partitions(topic))}
        if not asked:
            return {}
        found: dict[int, int] = {}
        with self._errors():
            futures = self._client.list_offsets(
                asked, request_timeout=self._options.request_timeout_s
            )
            for partition, future in futures.items():
                found[partition.partition] = future.result().offset
        return found

    def span(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return each partition's first offset and its end."""
        spec = kafka_admin().OffsetSpec
        firsts = self.offsets(topic, spec.earliest())
        return {n: (firsts[n], end) for n, end in self.offsets(topic, spec.latest()).items()}

    def check_topics(self) -> None:
        """Make sure that the log and its dead letters have their topics.

        Raises:
            BackendMissingError: one was not made yet.
        """
        for topic in (self._options.topic, self._options.dead_topic):
            if not self.partitions(topic):
                client = kafka_client()
                error = client.KafkaError(client.KafkaError.UNKNOWN_TOPIC_OR_PART)
                raise translated(self._options.name, error, self._trouble)

    def _describe(self, topic: str) -> Any:
        asked = kafka_client().TopicCollection([topic])
        found = self._result(
            lambda client, s: client.describe_topics(asked, request_timeout=s)[topic],
            passing="UNKNOWN_TOPIC_OR_PART",
        )
        return found or None

    def _result(self, call: Callable[[Any, float], Any], *, passing: str = "") -> Any:
        """Return what a call's future brings; False for the error that is no error here."""

        def ask(timeout_s: float) -> Any:
            future: Future[Any] = call(self._client, timeout_s)
            return future.result()

        return self._patiently(ask, lambda: self._client, passing=passing)

    def _patiently(
        self, ask: Callable[[float], Any], client_of: Callable[[], Any], *, passing: str = ""
    ) -> Any:
        """Ask with the seconds that are left, again while the cluster has only just come up."""
        exception = kafka_client().KafkaException
        deadline = time.monotonic() + self._options.request_timeout_s
        while True:
            with self._errors():
                try:
                    return ask(max(deadline - time.monotonic(), 0.1))
                except exception as error:
                    code = str(error.args[0].name())
                    if code == passing:
                        return False
                    if code not in _PASSING or time.monotonic() + _PAUSE_S > deadline:
                        client_of().poll(0)  # lets it say what it complained about
                        raise
            time.sleep(_PAUSE_S)

    def _errors(self) -> Any:
        since_s = self._options.request_timeout_s + 5
        return log_errors(self._options.name, self._trouble, since_s=since_s)

    @cached_property
    def _client(self) -> Any:
        return kafka_admin().AdminClient(self._options.client_settings(self._trouble.note))

    @cached_property
    def _reader(self) -> Any:
        return kafka_client().Consumer(self._options.consumer_settings(self._trouble.note))
