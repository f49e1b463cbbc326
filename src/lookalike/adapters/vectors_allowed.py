"""What a filter lets through of a snapshot, worked out once for all queries that share it."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.adapters.vectors_codes_index import CodeIndex
    from lookalike.domain.arrays import BoolMask, RowArray

_MOST: Final = 16
_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class AllowedRows:
    """The `(rows,)` rows let through, and as a bitmap of `(rows / 8,)` bytes for Faiss."""

    mask: BoolMask
    bits: NDArray[np.uint8]
    count: int
    _spans: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    _parts: dict[tuple[int, int], NDArray[np.uint8]] = field(
        default_factory=dict[tuple[int, int], "NDArray[np.uint8]"]
    )
    _in_cells: dict[str, NDArray[np.int32]] = field(default_factory=dict[str, "NDArray[np.int32]"])

    @classmethod
    def of(cls, mask: BoolMask) -> AllowedRows:
        """Pack a mask that nobody changes any more."""
        return cls(mask, np.packbits(mask, bitorder="little"), int(np.count_nonzero(mask)))

    def between(self, begin: int, end: int) -> int:
        """Return how many rows of `[begin, end)` are let through."""
        if (begin, end) not in self._spans:
            self._spans[begin, end] = int(np.count_nonzero(self.mask[begin:end]))
        return self._spans[begin, end]

    def part(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Return the bitmap of the rows `[begin, end)`, the first of them in the first bit."""
        if (begin, end) not in self._parts:
            self._parts[begin, end] = np.packbits(self.mask[begin:end], bitorder="little")
        return self._parts[begin, end]

    def in_cells(self, codes: CodeIndex, cells: RowArray) -> RowArray:
        """Return how many codes of each of `(n,)` cells of a segment are let through.

        Each cell is counted once; -1 stands for no cell.
        """
        known = self._in_cells.setdefault(codes.path, np.full(codes.cells, _UNKNOWN, np.int32))
        new = np.unique(cells[(cells >= 0) & (known[cells] == _UNKNOWN)])
        if len(new):
            known[new] = codes.count_in(new, self.mask)
        return np.where(cells >= 0, known[cells], 0)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was worked out, and for which arrays."""

    key: weakref.ref[BoolMask]
    hidden: BoolMask | None
    rows: AllowedRows

    def is_for(self, key: BoolMask, hidden: BoolMask | None, rows: int) -> bool:
        return self.key() is key and self.hidden is hidden and len(self.rows.mask) == rows


@dataclass(slots=True)
class AllowedCache:
    """Keeps what was worked out for masks that are still alive and cannot change.

    A mask that can be written is worked out anew each time.
    """

    _kept: OrderedDict[int, _Kept] = field(default_factory=OrderedDict[int, "_Kept"])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        """Return for how many masks it keeps something."""
        return len(self._kept)

    def allowed(
        self, mask: BoolMask | None, hidden: BoolMask | None, rows: int
    ) -> AllowedRows | None:
        """Return which of `rows` rows are let through, or None when all are.

        `mask` is a selection's, `hidden` the rows not to be found; both may be None, and
        either may be of another length: rows beyond a mask are not let through.
        """
        key = hidden if mask is None else mask
        if key is None:
            return None
        with self._lock:
            known = self._kept.get(id(key))
            if known is not None and known.is_for(key, hidden, rows):
                self._kept.move_to_end(id(key))
                return known.rows
        found = AllowedRows.of(_fitted(mask, hidden, rows))
        if mask is None or not mask.flags.writeable:
            with self._lock:
                self._kept[id(key)] = _Kept(weakref.ref(key), hidden, found)
                self._kept.move_to_end(id(key))
                self._forget()
        return found

    def _forget(self) -> None:
        for name in [name for name, kept in self._kept.items() if kept.key() is None]:
            del self._kept[name]
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)


def _fitted(mask: BoolMask | None, hidden: BoolMask | None, rows: int) -> BoolMask:
    if mask is None:
        fitted = np.ones(rows, np.bool_)
    else:
        fitted = np.zeros(rows, np.bool_)
        length = min(rows, len(mask))
        fitted[:length] = mask[:length]
    if hidden is not None:
        fitted &= ~hidden[:rows]
    return fitted


def grown(flags: BoolMask, length: int) -> BoolMask:
    """Return a copy of the flags that is at least so long, False beyond their end."""
    longer = np.zeros(max(length, len(flags)), np.bool_)
    longer[: len(flags)] = flags
    return longer
