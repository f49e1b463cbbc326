"""A worker: takes messages from the ingest log, indexes their pictures, and states them done.

A message is acknowledged only when everything it asks is durable and searchable. Two batches are
under way at once, so that one is written while the next is encoded; messages of one key never
overtake each other.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lookalike.domain import reasons
from lookalike.domain.errors import (
    BackendAuthError,
    BackendError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
    LookalikeError,
    MessageError,
    StoreError,
)
from lookalike.domain.images import ImageId, image_id, is_image_id
from lookalike.domain.ingest_messages import PutMessage, RemoveMessage, decode_message
from lookalike.domain.sources import path_of_uri
from lookalike.ports.source import SourceItem, error_item

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from lookalike.engine.engine import Engine
    from lookalike.ports.ingest_log import Delivery, IngestLog

BATCH: Final = 64
LANES: Final = 2
POLL_S: Final = 0.5
LEAST_PAUSE_S: Final = 0.5
MOST_PAUSE_S: Final = 30.0
TRIES: Final = 3
"""A batch that failed so often, with its back ends well, is taken apart to find the culprit."""

ALONE_TRIES: Final = 5
"""So often a message is tried alone where a back end refuses it for a reason we do not know."""

WRITE_FAILED: Final = "write-failed"

_LOG: Final = logging.getLogger("lookalike.worker")
_UNWELL: Final = (
    BackendAuthError,
    BackendFullError,
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    BackendVersionError,
)
"""What no message is to blame for: it is waited for, however long that takes."""


@dataclass(frozen=True, slots=True)
class WorkReport:
    """What a worker has done so far."""

    done: int
    added: int
    rejected: dict[str, int]
    retries: int
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return the report as an object."""
        rate = self.added / self.seconds if self.seconds else 0.0
        return {
            "done": self.done,
            "added": self.added,
            "rejected": dict(self.rejected),
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "images_per_s": round(rate, 2),
        }


@dataclass(slots=True)
class _Tally:
    done: int = 0
    added: int = 0
    retries: int = 0
    rejected: Counter[str] = field(default_factory=Counter[str])


class Worker:
    """Works through the log of one engine until it is told to stop."""

    def __init__(
        self,
        engine: Engine,
        log: IngestLog,
        *,
        on_progress: Callable[[WorkReport], None] | None = None,
        most: int | None = None,
        drain_s: float | None = None,
    ) -> None:
        """Keep the parts.

        `most` ends the work after so many messages; `drain_s` when none has come for so long and
        none waits.
        """
        self._engine = engine
        self._log = log
        self._on_progress = on_progress
        self._most = most
        self._drain_s = drain_s
        self._is_drained = False
        self._last_batch = time.monotonic()
        self._refused = ((-1, -1), 0)  # a message that was tried alone, and how often
        self._tally = _Tally()
        self._began = time.monotonic()

    def run(self, stop: threading.Event) -> WorkReport:
        """Work until `stop` is set; the batches under way are finished first.

        A back end that fails is waited for, longer each time: what is not acknowledged is read
        again. Nothing is given up but messages that cannot be understood or indexed, which are
        set aside with their reason.
        """
        self._began = self._last_batch = time.monotonic()
        pauses = unexplained = careful = 0
        while not stop.is_set() and not self._is_enough():
            before = self._tally.done
            try:
                self._work(stop, is_careful=careful > 0)
                careful = max(0, careful - 1)
                pauses = unexplained = 0
            except StoreError as error:
                has_moved = self._tally.done > before
                pauses = 1 if has_moved else pauses + 1
                is_explained = has_moved or isinstance(error, _UNWELL)
                unexplained = 0 if is_explained else unexplained + 1
                careful = LANES * BATCH if unexplained >= TRIES else careful
                self._tally.retries += 1
                self._pause(error, pauses, stop)
        return self.report()

    def report(self) -> WorkReport:
        """Return what was done so far."""
        tally, seconds = self._tally, time.monotonic() - self._began
        return WorkReport(tally.done, tally.added, dict(tally.rejected), tally.retries, seconds)

    def _work(self, stop: threading.Event, *, is_careful: bool) -> None:
        """Keep the lanes full until told to stop; a careful worker takes one message and ends."""
        flying: dict[Future[None], frozenset[str]] = {}
        with ThreadPoolExecutor(LANES, thread_name_prefix="worker") as lanes:
            try:
                while not stop.is_set() and not self._is_enough():
                    batch = self._log.poll(most=1 if is_careful else BATCH, timeout_s=POLL_S)
                    if batch:
                        self._last_batch = time.monotonic()
                        keys = frozenset(one.key for one in batch)
                        self._await_keys(flying, keys)
                        task = lanes.submit(self._handle, batch, is_careful=is_careful)
                        flying[task] = keys
                    self._settle(flying, most=0 if is_careful or not batch else LANES - 1)
                    if is_careful:
                        return
                self._settle(flying, most=0)
            except StoreError:
                wait(flying)
                raise

    def _await_keys(self, flying: dict[Future[None], frozenset[str]], keys: frozenset[str]) -> None:
        """Wait for the batches that hold messages of the same keys."""
        for task in [task for task, held in flying.items() if held & keys]:
            flying.pop(task)
            task.result()

    def _settle(self, flying: dict[Future[None], frozenset[str]], *, most: int) -> None:
        """Wait until at most so many batches are under way, and raise what one failed with."""
        while len(flying) > most:
            done, _ = wait(flying, return_when=FIRST_COMPLETED)
            for task in done:
                flying.pop(task)
                task.result()
        if self._on_progress is not None:
            self._on_progress(self.report())

    def _handle(self, batch: Sequence[Delivery], *, is_careful: bool) -> None:
        understood: list[tuple[Delivery, PutMessage | RemoveMessage]] = []
        for delivery in batch:
            try:
                understood.append((delivery, decode_message(delivery.value)))
            except MessageError as error:
                self._reject(delivery, reasons.BAD_MESSAGE, error.message)
        for kind, group in groupby(understood, key=lambda pair: _kind(pair[1])):
            some = list(group)
            try:
                if kind == "remove":
                    self._remove(some)
                else:
                    self._put(some, is_kept=kind == "keep")
            except LookalikeError as error:
                if not is_careful or not self._is_to_blame(some[0][0], error):
                    raise
                for delivery, _ in some:
                    self._reject(delivery, WRITE_FAILED, error.message)

    def _is_to_blame(self, delivery: Delivery, error: LookalikeError) -> bool:
        """Tell whether a message that was tried alone is what the error is about.

        A server that comes back may refuse in words that are not known here, so such a refusal
        is believed after a while only.
        """
        if isinstance(error, _UNWELL):
            return False
        if not isinstance(error, BackendError):
            return True
        place = (delivery.partition, delivery.offset)
        last, times = self._refused
        self._refused = (place, times + 1 if last == place else 1)
        return self._refused[1] >= ALONE_TRIES

    def _remove(self, some: Sequence[tuple[Delivery, PutMessage | RemoveMessage]]) -> None:
        for is_blocked in (False, True):
            ids = [
                one.image
                for _, one in some
                if isinstance(one, RemoveMessage) and one.is_blocked == is_blocked
            ]
            if ids:
                self._engine.remove(ids, is_blocked=is_blocked)
        self._acknowledge([delivery for delivery, _ in some])

    def _put(
        self, some: Sequence[tuple[Delivery, PutMessage | RemoveMessage]], *, is_kept: bool
    ) -> None:
        """Index pictures; of several messages about one uri the last one counts."""
        puts = [(delivery, one) for delivery, one in some if isinstance(one, PutMessage)]
        last = {message.source.uri: (delivery, message) for delivery, message in puts}
        done = [delivery for delivery, message in puts if last[message.source.uri][0] != delivery]
        blobs = self._engine.stores.blobs.get_many(
            [one.place for _, one in last.values() if one.kind == "blob"]
        )
        ready: list[tuple[Delivery, PutMessage]] = []
        for delivery, message in last.values():
            if message.kind != "blob" or message.place in blobs:
                ready.append((delivery, message))
            elif self._was_done(message):
                done.append(delivery)
            else:
                self._reject(delivery, reasons.UNREADABLE, f"the blob {message.place} is gone")
        items = [self._item(message, blobs) for _, message in ready]
        outcomes = self._engine.add(items, is_keeping=is_kept) if items else ()
        for (delivery, _), outcome in zip(ready, outcomes, strict=True):
            self._tally.added += outcome.is_new
            if outcome.id is not None:
                done.append(delivery)
            else:
                self._reject(delivery, outcome.reason, outcome.detail)
        self._acknowledge(done)
        self._engine.stores.blobs.delete_many(list(blobs))

    def _item(self, message: PutMessage, blobs: Mapping[str, bytes]) -> SourceItem:
        source = message.source
        if message.kind == "url":
            return SourceItem(source, "url", url=message.place)
        if message.kind == "path":
            return SourceItem(source, "path", path=Path(path_of_uri(message.place)))
        data = blobs[message.place]
        name = message.place.rpartition("/")[2]
        if is_image_id(name) and image_id(data) != name:
            return error_item(source.uri, reasons.CORRUPT, f"{message.place} holds other bytes")
        return SourceItem(source, "data", data=data)

    def _was_done(self, message: PutMessage) -> bool:
        """Tell whether an earlier delivery of the message was finished, and its blob dropped."""
        name = message.place.rpartition("/")[2]
        return is_image_id(name) and self._engine.has(ImageId(name))

    def _acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self._log.acknowledge(deliveries)
            self._tally.done += len(deliveries)

    def _reject(self, delivery: Delivery, reason: str, detail: str) -> None:
        _LOG.warning("set aside: %s", reason, extra={"fields": {"reason": reason, "why": detail}})
        self._log.reject(delivery, reason, detail)
        self._tally.rejected[reason] += 1
        self._tally.done += 1

    def _pause(self, error: StoreError, failures: int, stop: threading.Event) -> None:
        longest = min(MOST_PAUSE_S, LEAST_PAUSE_S * 2**failures)
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        _LOG.warning(
            "trying again in %.1f s: %s", pause, error.message,
            extra={"fields": {"code": error.code, "hint": error.hint}},
        )  # fmt: skip
        stop.wait(pause)
        try:
            self._log.rewind()
        except StoreError as again:
            _LOG.warning("the log is not back yet: %s", again.message)

    def _is_enough(self) -> bool:
        if self._most is not None and self._tally.done >= self._most:
            return True
        is_idle = time.monotonic() - self._last_batch >= (self._drain_s or 0.0)
        if self._drain_s is not None and is_idle and not self._is_drained:
            self._last_batch = time.monotonic()  # what a dead worker held comes back after a while
            self._is_drained = self._log.lag() == 0
        return self._is_drained


def _kind(message: PutMessage | RemoveMessage) -> str:
    """Return what may be done together: removals, pictures to keep, pictures to look at."""
    if isinstance(message, RemoveMessage):
        return "remove"
    return "keep" if message.is_kept else "put"
