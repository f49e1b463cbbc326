"""Threads between the stages of ingest: one reads ahead, one writes behind, both bounded."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Item = TypeVar("Item")

_WAKE_S = 0.2


class _Failed:
    """Carries what a thread raised to the thread that waits for it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def read_ahead(
    items: Iterator[Item], *, most: int, stop: threading.Event, tick_s: float
) -> Iterator[Item | None]:
    """Yield items that a thread takes ahead, at most `most`; what it raises is raised here.

    While nothing comes, None is yielded every `tick_s` seconds, so that the reader can tend to
    other things. When `stop` is set the thread takes no more; what it holds is still yielded.
    """
    ready: queue.Queue[Item | _Failed | None] = queue.Queue(maxsize=most)
    is_over = threading.Event()

    def give(item: Item | _Failed | None) -> bool:
        while not is_over.is_set():
            try:
                ready.put(item, timeout=_WAKE_S)
            except queue.Full:
                continue
            return True
        return False

    def take() -> None:
        try:
            for item in items:
                if not give(item) or stop.is_set():
                    break
            give(None)
        except BaseException as error:  # noqa: BLE001 - raised again on the other side
            give(_Failed(error))

    thread = threading.Thread(target=take, name="ingest-read", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = ready.get(timeout=tick_s)
            except queue.Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        is_over.set()
        thread.join()


class WriteBehind(Generic[Item]):
    """A thread that handles items in order while the next are made; at most `most` wait.

    After a failure nothing more is handled, and the failure is raised to the caller. `on_idle`
    is called in the same thread whenever nothing has come for `idle_s`.
    """

    def __init__(
        self,
        handle: Callable[[Item], None],
        *,
        most: int,
        on_idle: Callable[[], None] | None = None,
        idle_s: float = 0.5,
    ) -> None:
        """Start the thread."""
        self._handle = handle
        self._on_idle = on_idle
        self._idle_s = idle_s if on_idle is not None else None
        self._failure: BaseException | None = None
        self._waiting: queue.Queue[Item | None] = queue.Queue(maxsize=most)
        self._thread = threading.Thread(target=self._work, name="ingest-write", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Queue an item; waits while the queue is full, and raises an earlier failure."""
        self._raise()
        self._waiting.put(item)

    def drain(self) -> None:
        """Wait until everything queued is handled."""
        self._waiting.join()
        self._raise()

    def close(self) -> None:
        """Handle what is queued and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=self._idle_s)
            except queue.Empty:
                self._guarded(self._on_idle)
                continue
            if item is not None:
                self._guarded(self._handle, item)
            self._waiting.task_done()
            if item is None:
                return

    def _guarded(self, call: Callable[..., None] | None, *items: Item) -> None:
        if call is None or self._failure is not None:
            return
        try:
            call(*items)
        except BaseException as error:  # noqa: BLE001 - raised again by put or drain
            self._failure = error
