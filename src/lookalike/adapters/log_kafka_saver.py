"""Where a group is to go on, told to the brokers by a thread of its own.

librdkafka's commit has no deadline: while a broker hangs it waits for ever. Here the one who asks
waits for as long as he likes, and what could not be told is told with the next.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lookalike.domain.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class PlaceSaver:
    """Offsets by partition that wait to be remembered by the group."""

    def __init__(self, commit: Callable[[Mapping[int, int]], Iterable[int]]) -> None:
        """Keep what saves places, and returns the partitions for which that went well."""
        self._commit = commit
        self._changed = threading.Condition()
        self._places: dict[int, int] = {}
        self._asked = self._answered = 0
        self._failure: BackendError | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def note(self, partition: int, place: int | None) -> None:
        """Keep a place until it is saved."""
        if place is not None:
            with self._changed:
                self._places[partition] = place

    def forget(self, partitions: Iterable[int]) -> None:
        """Drop the places of partitions that went to another worker."""
        with self._changed:
            for partition in partitions:
                self._places.pop(partition, None)

    def save(self, timeout_s: float) -> bool:
        """Save what was noted; tell whether an answer came in time.

        Raises:
            BackendError: the answer was no.
        """
        with self._changed:
            if not self._places:
                return True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ingest-saver", daemon=True)
                self._thread.start()
            self._asked += 1
            ticket = self._asked
            self._changed.notify_all()
            is_answered = self._changed.wait_for(lambda: self._answered >= ticket, timeout_s)
            if is_answered and self._failure is not None:
                raise self._failure
            return is_answered

    def close(self, timeout_s: float) -> bool:
        """End the thread; tell whether it did, for it may hang on a broker that hangs."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._asked > self._answered)
                if self._is_closed:
                    return
                ticket, places = self._asked, dict(self._places)
            failure = None
            saved: list[int] = []
            try:
                saved = list(self._commit(places)) if places else []
            except BackendError as error:
                failure = error
            with self._changed:
                for partition in saved:
                    if self._places.get(partition) == places[partition]:
                        del self._places[partition]
                self._answered, self._failure = ticket, failure
                self._changed.notify_all()
