"""One worker's membership in a Kafka group: what it was given, and what is done.

The group must not take a worker that encodes for long for a dead one, and others must be able to
join meanwhile. So a thread of its own keeps house while nobody polls: with all partitions paused
it answers the group's questions, and fetches nothing.
"""

from __future__ import annotations

import contextlib
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
from lookalike.adapters.log_kafka_offsets import Offsets
from lookalike.adapters.log_kafka_saver import PlaceSaver
from lookalike.domain.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lookalike.adapters.log_kafka_options import KafkaOptions
    from lookalike.ports.ingest_log import Delivery

_IDLE_S: Final = 1.0
_KEEP_S: Final = 0.25
_REVOKED_S: Final = 2.0
"""For so long others wait for what this worker has done, before they take its partitions."""

# The group is just being shared out anew; what was done is remembered at the next occasion.
_SHARING: Final = frozenset(
    ("_ASSIGNMENT_LOST", "_NO_OFFSET", "_STATE", "_WAIT_COORD", "ILLEGAL_GENERATION",
     "REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID")
)  # fmt: skip
_HARMLESS: Final = frozenset(("_MAX_POLL_EXCEEDED", "_PARTITION_EOF"))


class GroupMember:
    """A consumer that joins its group at the first poll; threads may share it."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._trouble = Trouble()
        self._polling = threading.Lock()  # taken before the other one
        self._state = threading.RLock()
        self._consumer: Any = None
        self._offsets: dict[int, Offsets] = {}
        self._saver = PlaceSaver(self._commit)
        self._stash: list[Any] = []
        self._failure: Any = None
        self._is_paused = self._is_left = False
        self._polled = self._heard = time.monotonic()
        self._is_closed = threading.Event()
        self._keeper: threading.Thread | None = None

    def poll(self, most: int, timeout_s: float) -> list[Any]:
        """Return messages that are to be handed out, waiting for the first one."""
        deadline = time.monotonic() + timeout_s
        with self._polling, self._errors():
            consumer = self._open()
            self._resume(consumer)
            found: list[Any] = []
            while not found:
                read = self._read(consumer, most, max(0.0, deadline - time.monotonic()))
                found = self._hand_out(read)
                if time.monotonic() >= deadline:
                    break
            if found:
                self._heard = time.monotonic()
            else:
                self._probe(consumer)
            self._polled = time.monotonic()
        self._save()
        return found

    def finish(self, deliveries: Sequence[Delivery]) -> None:
        """Note messages that are done, and let the group remember how far they reach."""
        self._check_open()
        by_partition: dict[int, list[int]] = {}
        for delivery in deliveries:
            by_partition.setdefault(delivery.partition, []).append(delivery.offset)
        with self._state:
            for partition, offsets in by_partition.items():
                if partition in self._offsets:  # else it is with another worker by now
                    self._saver.note(partition, self._offsets[partition].finish(offsets))
        self._save()

    def rewind(self) -> None:
        """Go back to the first message of each partition that is not done."""
        self._check_open()
        with self._polling, self._state, self._errors():
            for partition, offsets in self._offsets.items():
                first = offsets.rewind()
                if first is not None:
                    self._stash = [m for m in self._stash if m.partition() != partition]
                    self._consumer.seek(self._place(partition, first))

    def close(self) -> None:
        """Let the group remember what is done, and leave it."""
        self._is_closed.set()
        if self._keeper is not None:
            self._keeper.join()
        with self._polling:
            consumer = self._consumer
            if consumer is None or self._is_left:
                return
            self._is_left = True
            self._resume(consumer)
        try:
            self._save()
        finally:
            self._leave(consumer)

    def _leave(self, consumer: Any) -> None:
        """Leave the group; a broker that hangs is not waited for, and takes us for dead later."""
        patience_s = self._options.request_timeout_s
        if self._saver.close(patience_s):  # else the consumer is still in use
            leaving = threading.Thread(target=consumer.close, name="ingest-leaver", daemon=True)
            leaving.start()
            leaving.join(patience_s)

    def _check_open(self) -> None:
        if self._is_closed.is_set():
            raise BackendError(self._options.name, "the log was closed", hint="open it anew")

    def _open(self) -> Any:
        self._check_open()
        if self._consumer is None:
            client = kafka_client()
            self._consumer = client.Consumer(self._options.consumer_settings(self._trouble.note))
            self._consumer.subscribe(
                [self._options.topic],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
            self._heard = time.monotonic()
            self._keeper = threading.Thread(target=self._keep, name="ingest-keeper", daemon=True)
            self._keeper.start()
        return self._consumer

    def _read(self, consumer: Any, most: int, timeout_s: float) -> list[Any]:
        """Return what was read ahead, or wait for a first message and take what is behind it."""
        if self._failure is not None:
            error, self._failure = self._failure, None
            raise translated(self._options.name, error, self._trouble)
        if self._stash:
            read, self._stash = self._stash[:most], self._stash[most:]
            return read
        first = consumer.poll(timeout_s)
        if first is None:
            return []
        return [first, *(consumer.consume(most - 1, timeout=0) if most > 1 else [])]

    def _hand_out(self, read: Sequence[Any]) -> list[Any]:
        given: list[Any] = []
        with self._state:
            for message in read:
                error = message.error()
                if error is not None:
                    if str(error.name()) not in _HARMLESS:
                        self._failure = error  # told at the next poll: the others count
                    continue
                offsets = self._offsets.get(message.partition())
                if offsets is None:
                    continue  # the partition has just gone to another worker
                if offsets.give(message.offset()):
                    given.append(message)
                else:
                    self._saver.note(message.partition(), offsets.finish())
        return given

    def _save(self) -> None:
        """Let the group remember where to go on."""
        timeout_s = self._options.request_timeout_s
        if not self._saver.save(timeout_s):
            raise silence(self._options.name, self._trouble, since_s=timeout_s + 5)

    def _commit(self, places: Mapping[int, int]) -> Iterator[int]:
        client = kafka_client()
        asked = [self._place(partition, offset) for partition, offset in places.items()]
        with self._errors():
            try:
                saved = self._consumer.commit(offsets=asked, asynchronous=False)
            except client.KafkaException as error:
                if str(error.args[0].name()) in _SHARING:
                    return
                raise
        for place in saved:
            if place.error is None:
                yield place.partition
            elif str(place.error.name()) not in _SHARING:
                raise translated(self._options.name, place.error, self._trouble)

    def _probe(self, consumer: Any) -> None:
        """Ask a broker that was long silent for a sign of life; a dead one looks like no work."""
        timeout_s = self._options.request_timeout_s
        if time.monotonic() - self._heard < timeout_s:
            return
        found = consumer.list_topics(self._options.topic, timeout=timeout_s)
        error = found.topics[self._options.topic].error
        if error is not None:
            raise translated(self._options.name, error, self._trouble)
        self._heard = time.monotonic()

    def _keep(self) -> None:
        client = kafka_client()
        while not self._is_closed.wait(_KEEP_S):
            if time.monotonic() - self._polled < _IDLE_S:
                continue
            if not self._polling.acquire(blocking=False):
                continue
            try:
                self._pause(self._consumer)
                message = self._consumer.poll(0)
                if message is not None:
                    self._stash.append(message)
            except client.KafkaException:
                continue  # the next poll meets the same trouble, and raises it
            finally:
                self._polling.release()

    def _pause(self, consumer: Any) -> None:
        if not self._is_paused:
            self._is_paused = True
            consumer.pause(consumer.assignment())

    def _resume(self, consumer: Any) -> None:
        if self._is_paused:
            self._is_paused = False
            consumer.resume(consumer.assignment())

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        consumer.incremental_assign(partitions)
        # A pause outlives the loss of its partition, and ends only by name.
        (consumer.pause if self._is_paused else consumer.resume)(partitions)
        with self._state:
            for partition in partitions:
                self._offsets[partition.partition] = Offsets()

    def _revoked(self, _: Any, partitions: Sequence[Any]) -> None:
        # Where this fails, its next worker is given some messages once more.
        with contextlib.suppress(BackendError):
            self._saver.save(_REVOKED_S)
        with self._state:
            self._forget(partitions)

    def _lost(self, _: Any, partitions: Sequence[Any]) -> None:
        with self._state:
            self._forget(partitions)

    def _forget(self, partitions: Sequence[Any]) -> None:
        gone = {partition.partition for partition in partitions}
        for partition in gone:
            self._offsets.pop(partition, None)
        self._saver.forget(gone)
        self._stash = [message for message in self._stash if message.partition() not in gone]

    def _place(self, partition: int, offset: int) -> Any:
        return kafka_client().TopicPartition(self._options.topic, partition, offset)

    def _errors(self) -> Any:
        since_s = self._options.request_timeout_s + 5
        return log_errors(self._options.name, self._trouble, since_s=since_s)
