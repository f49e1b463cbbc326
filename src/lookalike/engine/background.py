"""The background: a sample of the corpus that tells what is usual for a query."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.ranking.calibration import LEAST_SAMPLE, Background

if TYPE_CHECKING:
    from lookalike.engine.stores import Stores

BACKGROUND_SIZE: Final = 512
BACKGROUND_GROWTH: Final = 1.5
"""The background sample is drawn anew when the index has grown by this factor."""

BACKGROUND_S: Final = 600.0
EMPTY_BACKGROUND_S: Final = 5.0
"""Where rows do not count up, the sample is drawn anew after so long, sooner one that is empty."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A background sample, how many rows there were when it was drawn, and when that was."""

    background: Background
    rows: int
    at: float

    def is_fresh(self, stores: Stores, now: float) -> bool:
        """Tell whether the sample still stands for the index."""
        if stores.is_dense:
            return stores.visible_rows <= self.rows * BACKGROUND_GROWTH
        return now - self.at < (
            BACKGROUND_S if len(self.background.vectors) else EMPTY_BACKGROUND_S
        )


class BackgroundSampler:
    """Draws the sample through the ports, and keeps it while it stands for the index."""

    def __init__(self, stores: Stores) -> None:
        """Draw nothing yet."""
        self._stores = stores
        self._drawn: _Drawn | None = None

    def sample(self) -> Background:
        """Return the sample, drawn anew when the index has grown or the sample is old.

        Raises:
            StoreError: a store of a cluster does not answer.
        """
        drawn = self._drawn
        if drawn is not None and drawn.is_fresh(self._stores, time.monotonic()):
            return drawn.background
        stores = self._stores
        rows = np.asarray(stores.catalog.sample_rows(BACKGROUND_SIZE), dtype=np.int64)
        rows = rows[rows < stores.visible_rows]
        rows = rows[stores.vectors.has(rows)]
        vectors = stores.vectors.fetch(rows[: len(rows) if len(rows) >= LEAST_SAMPLE else 0])
        background = Background(vectors, stores.catalog.state().images)
        self._drawn = _Drawn(background, stores.visible_rows, time.monotonic())
        return background
