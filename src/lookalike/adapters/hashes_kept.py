"""The file beside a catalog that spares the next process from sorting every hash again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from lookalike.domain.errors import IndexMissingError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.ports.hashes import HashIndex

_LOG: Final = logging.getLogger("lookalike.hashes")


class KeptHashes:
    """`engine.hash_follower.HashFile` at a path."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Remember the place."""
        self._path = path
        self._threads = threads

    def load(self) -> tuple[HashIndex, int] | None:
        """Return what was saved; a file that cannot be read is as good as none."""
        from lookalike.adapters.hashes_memory import MemoryHashIndex

        try:
            index = MemoryHashIndex.open(self._path, threads=self._threads)
        except IndexMissingError:
            return None
        except StoreError as error:
            _LOG.warning("%s is made anew: %s", self._path.name, error.message)
            return None
        return index, index.seq

    def empty(self) -> HashIndex:
        """Return a new index."""
        from lookalike.adapters.hashes_memory import MemoryHashIndex

        return MemoryHashIndex(threads=self._threads)

    def save(self, index: HashIndex, seq: int) -> None:
        """Write an index of ours."""
        from lookalike.adapters.hashes_memory import MemoryHashIndex

        if not isinstance(index, MemoryHashIndex):
            raise TypeError("only hashes in memory are kept in a file")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        index.save(self._path, seq=seq)
