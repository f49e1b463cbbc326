"""The port of ingest logs: what is to be indexed, kept until a worker has done it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """One message to publish; entries of one key are delivered in their order.

    `value` is an encoded `domain.ingest_messages.IngestMessage`.
    """

    key: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it was read; `partition` and `offset` name its place in the log."""

    partition: int
    offset: int
    key: str
    value: bytes = field(repr=False)
    published: float = 0.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was set aside, with why and what it was."""

    reason: str
    detail: str
    key: str
    value: bytes = field(repr=False)
    failed: float = 0.0


class IngestLog(Protocol):
    """Messages from many publishers to a group of workers, at least once.

    Promises (tests/contract/test_ingest_log.py): a published message is durable when `publish`
    returns, and is delivered to one worker of the group; one that is neither acknowledged nor
    rejected is delivered again, after a restart or when its worker ends; messages of one key come
    in their order; only Lookalike's errors escape.
    """

    def publish(self, entries: Sequence[Entry]) -> None:
        """Append messages; they are durable when this returns.

        Raises:
            MessageTooLargeError: one is over the log's bound; none of them was appended.
        """
        ...

    def poll(self, *, most: int, timeout_s: float) -> Sequence[Delivery]:
        """Return at most so many messages that this worker has not been given yet.

        Waits at most `timeout_s` for the first one.
        """
        ...

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """State that messages are done; they may be stated in any order.

        What is remembered reaches up to the first message of a partition that is not done.
        """
        ...

    def reject(self, delivery: Delivery, reason: str, detail: str) -> None:
        """Set a message aside as a dead letter with its reason; it then counts as done."""
        ...

    def rewind(self) -> None:
        """Give everything that is not acknowledged out again, to this worker or another."""
        ...

    def lag(self) -> int:
        """Return how many messages wait to be acknowledged by the group."""
        ...

    def dead_letters(self, *, limit: int = 100) -> Sequence[DeadLetter]:
        """Return messages that were set aside, the newest first."""
        ...

    def close(self) -> None:
        """Leave the group and release connections."""
        ...
