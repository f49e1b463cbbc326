"""The perceptual hashes of an index: in memory, kept up with the catalog's log, or in a server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from lookalike.domain.copies import LEAST_QUALITY
from lookalike.engine.stores import replay

if TYPE_CHECKING:
    from lookalike.domain.arrays import RowArray
    from lookalike.domain.images import ImageRecord
    from lookalike.engine.stores import Stores
    from lookalike.ports.catalog import Catalog
    from lookalike.ports.hashes import HashIndex, HashStore

SAVE_CHANGES: Final = 5000
"""After so many changes the file is written anew, so that the next opening has less to do."""


class HashFile(Protocol):
    """Where the hashes are kept between processes; what it holds is derived and may be lost."""

    def load(self) -> tuple[HashIndex, int] | None:
        """Return the index that was saved and the catalog's seq it stands at, None without one."""
        ...

    def empty(self) -> HashIndex:
        """Return a new index."""
        ...

    def save(self, index: HashIndex, seq: int) -> None:
        """Write an index that stands at a seq."""
        ...


class CurrentHashes(Protocol):
    """The hashes of an index as they are now."""

    def caught_up(self) -> HashIndex:
        """Return the index with everything committed so far."""
        ...

    def save(self) -> None:
        """Keep them for the next process; only the index's one writer calls this."""
        ...


class StoredHashes:
    """Hashes in a store that every writer puts them into itself: a cluster's."""

    def __init__(self, store: HashStore) -> None:
        """Keep the store."""
        self._store = store

    def caught_up(self) -> HashIndex:
        """Return the store."""
        return self._store

    def save(self) -> None:
        """Do nothing: what was put is durable."""


class HashFollower:
    """One hash index of a process: loaded when it is first asked for, then caught up.

    Hashes of a low quality say nothing and are left out.
    """

    def __init__(self, catalog: Catalog, file: HashFile) -> None:
        """Keep the parts; nothing is read yet."""
        self._catalog = catalog
        self._file = file
        self._lock = threading.Lock()
        self._index: HashIndex | None = None
        self._seq = 0
        self._saved = 0

    def caught_up(self) -> HashIndex:
        """Return the index with everything committed so far."""
        with self._lock:
            index = self._index or self._load()
            self._index = index
            if self._seq < self._catalog.state().seq:
                self._seq = replay(
                    self._catalog,
                    after=self._seq,
                    on_put=lambda records: _put(index, records),
                    on_remove=index.remove,
                )
            return index

    def save(self) -> None:
        """Write the file where enough has changed; only the index's one writer calls this."""
        with self._lock:
            if self._index is not None and self._seq - self._saved >= SAVE_CHANGES:
                self._file.save(self._index, self._seq)
                self._saved = self._seq

    def _load(self) -> HashIndex:
        loaded = self._file.load()
        seq = self._catalog.state().seq
        if loaded is not None and loaded[1] <= seq:
            index, self._seq = loaded
            self._saved = self._seq
            return index
        index = self._file.empty()
        rows, hashes, qualities = self._catalog.phashes()
        is_telling = qualities >= LEAST_QUALITY
        index.add(rows[is_telling], hashes[is_telling])
        self._seq = seq
        return index


def current_hashes(stores: Stores, file: HashFile | None) -> CurrentHashes | None:
    """Return the hashes of some stores: their own, or those of a file that follow the catalog."""
    if stores.hashes is not None:
        return StoredHashes(stores.hashes)
    return HashFollower(stores.catalog, file) if file is not None else None


def _put(index: HashIndex, records: list[ImageRecord]) -> None:
    is_telling = [one.facts.phash_quality >= LEAST_QUALITY for one in records]
    telling = [one for one, tells in zip(records, is_telling, strict=True) if tells]
    index.remove(_rows([one for one, tells in zip(records, is_telling, strict=True) if not tells]))
    hashes = np.asarray([one.facts.phash for one in telling], dtype=np.uint64)
    index.add(_rows(telling), hashes)


def _rows(records: list[ImageRecord]) -> RowArray:
    return np.asarray([one.row for one in records], dtype=np.int64)
