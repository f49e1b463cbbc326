"""Where the time goes: milliseconds and counts by named stage."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@dataclass(frozen=True, slots=True)
class StageTotal:
    """What one stage took in all, how often it ran, and how many items went through it."""

    ms: float = 0.0
    runs: int = 0
    items: int = 0

    @property
    def items_per_s(self) -> float:
        """Items a second of the stage's own time; 0 where nothing was timed."""
        return self.items / (self.ms / 1000.0) if self.ms > 0 else 0.0


class StageTimer:
    """Adds up time by stage, from any number of threads.

    A stage may be entered while another runs, also by the same thread: each counts its own wall
    time, so that stages that overlap or nest add up to more than `total_ms`.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._totals: dict[str, StageTotal] = {}

    @contextmanager
    def stage(self, name: str, *, items: int = 0) -> Generator[None]:
        """Time a `with` block, also one that raises."""
        began = self._clock()
        try:
            yield
        finally:
            self.add(name, (self._clock() - began) * 1000.0, items=items)

    def add(self, name: str, ms: float, *, items: int = 0) -> None:
        """Add one run of a stage that was timed elsewhere, in a worker process for one."""
        with self._lock:
            known = self._totals.get(name, StageTotal())
            self._totals[name] = StageTotal(known.ms + ms, known.runs + 1, known.items + items)

    def totals(self) -> dict[str, StageTotal]:
        """Return the stages so far, in the order they first ended."""
        with self._lock:
            return dict(self._totals)

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds by stage."""
        return {name: total.ms for name, total in self.totals().items()}

    @property
    def total_ms(self) -> float:
        """Milliseconds since the timer was made."""
        return (self._clock() - self._began) * 1000.0
