"""Which messages of a partition a worker was given, and which of them are done.

Kafka remembers one number for a group and a partition: where to go on. It may only move over
messages that are done, so those done beyond a gap are remembered here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Offsets:
    """One partition's messages between the remembered place and the last one given."""

    def __init__(self) -> None:
        self._given: deque[int] = deque()
        self._done: set[int] = set()
        self._floor: int | None = None

    def give(self, offset: int) -> bool:
        """Note a message that was read; tell whether it is to be handed out.

        It is not when it was done before a rewind.
        """
        if self._floor is None:
            self._floor = offset
        self._given.append(offset)
        return offset not in self._done

    def finish(self, offsets: Iterable[int] = ()) -> int | None:
        """Note messages that are done; return where to go on, when that has moved."""
        floor = self._floor
        if floor is None:
            return None
        self._done.update(offset for offset in offsets if offset >= floor)
        while self._given and self._given[0] in self._done:
            offset = self._given.popleft()
            self._done.discard(offset)
            self._floor = offset + 1
        return self._floor if self._floor != floor else None

    def rewind(self) -> int | None:
        """Forget what was given and is not done; return the first such message."""
        first = self._given[0] if self._given else None
        self._given.clear()
        return first
