"""How a reader follows what is committed, by this process or another."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from lookalike.engine.stores import Stores, replay

if TYPE_CHECKING:
    from lookalike.domain.arrays import RowArray


EVERY_ROW: Final = (1 << 63) - 1


class Follower:
    """Brings a set of reading stores up to the catalog before each answer."""

    def __init__(self, stores: Stores) -> None:
        """Begin where the saved bitmaps end; stores that commit by themselves need no following."""
        self._stores = stores
        if not stores.is_dense:
            stores.visible_rows = EVERY_ROW
        self._lock = threading.Lock()
        self._seen = -1
        self._filters_seq = stores.filters.seq

    def catch_up(self) -> None:
        """Show everything acknowledged so far; costs microseconds when nothing is new."""
        stores = self._stores
        if not stores.is_dense:
            return
        state = stores.catalog.state()
        if state.seq == self._seen and state.rows == stores.visible_rows:
            stores.vectors.refresh(state.rows)  # segments may have been sealed since
            stores.regions.refresh(state.regions)
            if stores.texts.seq < state.seq:
                stores.texts.refresh()  # its commit follows the catalog's by a moment
            return
        with self._lock:
            state = stores.catalog.state()
            stores.vectors.refresh(state.rows)
            stores.regions.refresh(state.regions)
            stores.filters.refresh(state.rows)
            self._filters_seq = replay(
                stores.catalog,
                after=self._filters_seq,
                on_put=stores.filters.update,
                on_remove=self._hide,
            )
            stores.texts.refresh()
            stores.visible_rows = state.rows
            self._seen = state.seq

    def _hide(self, rows: RowArray) -> None:
        self._stores.filters.remove(rows)
        self._stores.vectors.remove(rows)
        self._stores.regions.remove(rows)
