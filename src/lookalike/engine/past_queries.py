"""Queries that were asked before, for completion: only where an index says that all may see them.

They are counted from the click log, if that keeps texts; one that too few answers had stays out,
since it may tell of the one who asked.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lookalike.ports.clicks import ClickLog

LEAST_ASKED: Final = 3
"""Answers that must have had a query before it is offered to others."""

COUNTED_AGAIN_S: Final = 3600.0


def count_queries(log: ClickLog) -> Mapping[str, int]:
    """Return each query of a log that was asked often enough, with how often."""
    counts = Counter(" ".join(session.shown.text.split()) for session in log.sessions())
    del counts[""]
    return {text: count for text, count in counts.items() if count >= LEAST_ASKED}


class PastQueries:
    """Counts of past queries, made anew now and then beside what is asked."""

    def __init__(
        self,
        count: Callable[[], Mapping[str, int]],
        *,
        clock: Callable[[], float] = time.monotonic,
        is_waiting: bool = False,
    ) -> None:
        """Keep how they are counted; one that `is_waiting` counts before it first answers."""
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._counted_at: float | None = None
        self._is_waiting = is_waiting
        self._texts: list[tuple[str, str]] = []
        self._counts: Mapping[str, int] = {}

    def beginning(self, line: str, *, limit: int = 8) -> Sequence[tuple[str, int]]:
        """Return past queries that begin as a line does, with their counts, the frequent first."""
        self._freshen()
        prefix, texts = line.casefold(), self._texts
        begin = bisect.bisect_left(texts, (prefix,))
        found: list[tuple[str, int]] = []
        for folded, text in texts[begin:]:
            if not folded.startswith(prefix):
                break
            found.append((text, self._counts[text]))
        return sorted(found, key=lambda one: (-one[1], one[0]))[:limit]

    def _freshen(self) -> None:
        now = self._clock()
        with self._lock:
            if self._counted_at is not None and now - self._counted_at < COUNTED_AGAIN_S:
                return
            self._counted_at = now
        if self._is_waiting:
            self._read()
        else:
            threading.Thread(target=self._read, name="past-queries", daemon=True).start()

    def _read(self) -> None:
        counts = self._count()
        texts = sorted((text.casefold(), text) for text in counts)
        self._counts, self._texts = counts, texts
