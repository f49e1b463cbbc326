"""Micro-batching: encode calls that meet in time run as one batch."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lookalike.domain.arrays import FloatMatrix

Item = TypeVar("Item")

MOST_BATCH: Final = 256
MOST_WAIT_MS: Final = 5.0


@dataclass(frozen=True, slots=True)
class BatchStats:
    """How many batches ran, and how many items they held."""

    batches: int
    items: int


class MicroBatcher(Generic[Item]):
    """Gathers items from many threads and encodes them together, in order.

    A lone caller never waits: an item that finds the encoder idle and nobody else asking runs at
    once. While a batch runs the next one gathers; when the last batch held several items, the
    next waits up to `wait_ms` for as many to come.
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Item]], FloatMatrix],
        *,
        most: int = MOST_BATCH,
        wait_ms: float = MOST_WAIT_MS,
    ) -> None:
        """Wrap `encode`, which takes n items and returns `(n, dim)`."""
        self._encode = encode
        self._most = most
        self._wait_s = min(wait_ms, MOST_WAIT_MS) / 1000.0
        self._waiting: queue.SimpleQueue[tuple[Item, Future[FloatMatrix]] | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last_size = 1
        self._batches = 0
        self._items = 0

    def submit(self, item: Item) -> Future[FloatMatrix]:
        """Return the promise of the item's `(dim,)` vector; cancelled ones are not encoded."""
        future: Future[FloatMatrix] = Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
                self._thread.start()
        self._waiting.put((item, future))
        return future

    def stats(self) -> BatchStats:
        """Return the counters."""
        return BatchStats(self._batches, self._items)

    def close(self) -> None:
        """Finish what waits and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, is_last = self._gather(first)
            self._run(batch)
            if is_last:
                return

    def _gather(
        self, first: tuple[Item, Future[FloatMatrix]]
    ) -> tuple[list[tuple[Item, Future[FloatMatrix]]], bool]:
        batch = [first]
        deadline = time.monotonic() + self._wait_s
        while len(batch) < self._most:
            try:
                left = deadline - time.monotonic()
                is_waiting = len(batch) < self._last_size and left > 0
                following = self._waiting.get(
                    block=is_waiting, timeout=left if is_waiting else None
                )
            except queue.Empty:
                break
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False

    def _run(self, batch: list[tuple[Item, Future[FloatMatrix]]]) -> None:
        live = [(item, future) for item, future in batch if future.set_running_or_notify_cancel()]
        self._last_size = max(1, len(live))
        if not live:
            return
        self._batches += 1
        self._items += len(live)
        try:
            vectors = self._encode([item for item, _ in live])
        except BaseException as error:  # noqa: BLE001 - each caller gets it
            for _, future in live:
                future.set_exception(error)
            return
        for (_, future), vector in zip(live, vectors, strict=True):
            future.set_result(vector)


class VectorCache:
    """Remembers the vectors of the texts asked last."""

    def __init__(self, size: int = 1024) -> None:
        """Remember at most `size` texts."""
        self._size = size
        self._vectors: OrderedDict[str, FloatMatrix] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, text: str) -> FloatMatrix | None:
        """Return the vector of a text, if remembered."""
        with self._lock:
            if (vector := self._vectors.get(text)) is not None:
                self._vectors.move_to_end(text)
            return vector

    def put(self, text: str, vector: FloatMatrix) -> None:
        """Remember a vector."""
        vector = np.array(vector, dtype=np.float32)
        vector.setflags(write=False)
        with self._lock:
            self._vectors[text] = vector
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
