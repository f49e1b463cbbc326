"""A hash index in memory: multi-index hashing over sorted segments, and an exact tail.

New rows join a tail that is compared in whole; a full tail becomes a segment, which takes over
segments up to three times its size, so that there are few and each row is sorted few times. A
segment is never changed: its rows are marked as gone, and room is made at the next merge, or
when more than half of them are.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.hashes_balls import BITS, spread
from lookalike.adapters.hashes_files import SavedIndex, read_index, write_index
from lookalike.adapters.hashes_input import check_radius, checked_hashes
from lookalike.adapters.hashes_layers import Layer, Tail
from lookalike.adapters.hashes_segment import MOST_ROWS, Segment
from lookalike.domain.errors import StoreError
from lookalike.ports.hashes import HashHits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lookalike.domain.arrays import RowArray

TAIL_ROWS: Final = 1 << 15
GROWTH: Final = 3
MOST_BESIDE: Final = 1 << 20
"""Rows that a writer waits for, about 0.3 s, when their segments are merged."""

LEAST_FOR_THREADS: Final = 1 << 18
"""Below so many hashes, threads wait for each other rather than for memory."""


class MemoryHashIndex:
    """64-bit hashes by row, answered exactly at every radius.

    One thread writes at a time, any number search; a search beside a write sees it or not, and
    may for a moment miss a row whose hash is being replaced. Large merges run in a thread of their
    own, and searches and writes go on meanwhile.

    An answer holds every row in the radius. Flat pictures share few hashes, so leave out what
    has a low quality, or ask for the nearest `most`: a hash is compared once however many rows
    share it, and only so many of them are listed.
    """

    def __init__(
        self, *, threads: int = 1, tail_rows: int = TAIL_ROWS, most_beside: int = MOST_BESIDE
    ) -> None:
        """Make an empty index; batches of queries take up to so many threads.

        Merges of more than `most_beside` rows run aside.
        """
        self._threads = threads
        self._lock = threading.Lock()
        self._layers: tuple[Layer, ...] = ()
        self._tail = Tail(tail_rows)
        self._parts = (self._layers, self._tail)
        self._most_beside = most_beside
        self._merging: tuple[Layer, ...] = ()
        self._aside: threading.Thread | None = None
        self._seq = 0

    @classmethod
    def open(cls, path: Path, *, threads: int = 1, tail_rows: int = TAIL_ROWS) -> MemoryHashIndex:
        """Map a saved index into memory; pages are read when they are needed.

        Raises `IndexMissingError`, `IndexFormatError` for a newer version and
        `IndexCorruptError` for anything else that `save` did not write.
        """
        saved = read_index(path)
        index = cls(threads=threads, tail_rows=tail_rows)
        layers = tuple(Layer(segment, gone) for segment, gone in saved.layers)
        index._show(layers, index._tail)
        index._seq = saved.seq
        index._append(*saved.tail)
        return index

    def save(self, path: Path, *, seq: int = 0) -> None:
        """Write everything to one file, in one step; `seq` says what of the truth it holds.

        The file is as large as the index in memory. Raises `StoreError` where it cannot.
        """
        with self._lock:
            layers = [(layer.segment, layer.gone) for layer in self._layers]
            write_index(path, SavedIndex(layers, self._tail.left(), seq))

    @property
    def seq(self) -> int:
        """The number that the opened file was saved with; 0 for a new index."""
        return self._seq

    @property
    def exact_radius(self) -> int:
        """The radius up to which nothing is missed: every one."""
        return BITS

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        layers, tail = self._parts
        return sum(layer.nbytes for layer in layers) + tail.nbytes

    def __len__(self) -> int:
        """Return how many hashes there are."""
        layers, tail = self._parts
        return sum(len(layer) for layer in layers) + len(tail)

    def add(self, rows: RowArray, hashes: NDArray[np.uint64]) -> None:
        """Add or replace the hashes of `(n,)` rows; of a row given twice, the last counts.

        Many rows at once are sorted at once: give a whole index in one piece.
        """
        rows, hashes = checked_hashes(rows, hashes)
        if not len(rows):
            return
        hashes = spread(hashes)
        with self._lock:
            self._forget(rows)
            self._append(rows, hashes)

    def settle(self) -> None:
        """Wait until no merge runs aside; nothing else needs it."""
        while (aside := self._aside) is not None and aside.is_alive():
            aside.join()

    def remove(self, rows: RowArray) -> None:
        """Forget rows; unknown ones do nothing."""
        with self._lock:
            self._forget(np.unique(np.asarray(rows, np.int64)))

    def within(
        self, hashes: NDArray[np.uint64], *, radius: int, most: int | None = None
    ) -> Sequence[HashHits]:
        """Return, for each of `(n,)` hashes, every row within so many bits, or the nearest `most`.

        Nearest first, ties by row. Raises `UsageError` for a negative radius.
        """
        check_radius(radius, most)
        radius = min(radius, BITS)
        wanted = spread(np.asarray(hashes, np.uint64))
        layers, tail = self._parts
        threads = min(self._threads, len(wanted) // 8)
        if threads < 2 or sum(map(len, layers)) < LEAST_FOR_THREADS:
            return _answers(layers, tail, wanted, radius, most)
        with ThreadPoolExecutor(threads) as pool:
            shares = np.array_split(wanted, threads)
            answer = partial(_answers, layers, tail, radius=radius, most=most)
            parts = pool.map(answer, shares)
            return [hits for part in parts for hits in part]

    def _show(self, layers: tuple[Layer, ...], tail: Tail) -> None:
        """Let searches see these from now on."""
        self._layers, self._tail = layers, tail
        self._parts = (layers, tail)

    def _forget(self, rows: RowArray) -> None:
        self._tail.remove(rows)
        for layer in self._layers:
            layer.remove(rows)
        poor = [
            layer for layer in self._layers
            if 2 * layer.gone_count > len(layer.segment) and layer not in self._merging
        ]  # fmt: skip
        if poor:
            kept = [
                Layer(Segment.build(*layer.left())) if layer in poor else layer
                for layer in self._layers
                if len(layer) or layer not in poor
            ]
            self._show(tuple(kept), self._tail)

    def _append(self, rows: RowArray, hashes: NDArray[np.uint64]) -> None:
        if len(rows) > self._tail.room - self._tail.size:
            self._seal(rows, hashes)
        else:
            self._tail.add(rows, hashes)

    def _seal(self, rows: RowArray, hashes: NDArray[np.uint64]) -> None:
        """Make a segment of the tail, more rows, and segments that are not much larger.

        What would take long is merged aside, by a thread of its own.
        """
        pieces = [self._tail.left(), (rows, hashes)]
        count = sum(len(piece[0]) for piece in pieces)
        if count > MOST_ROWS:
            raise StoreError(f"{count} hashes at once are too many", hint="add them in parts")
        taken = self._taken_over(self._layers, count)
        total = count + sum(map(len, taken))
        kept = self._layers[: len(self._layers) - len(taken)]
        if taken and total > self._most_beside:
            kept, taken = self._layers, ()
        pieces = [*(layer.left() for layer in taken), *pieces]
        self._show((*kept, Layer(_segment_of(pieces))), Tail(self._tail.room))
        self._merge_aside()

    def _taken_over(self, layers: tuple[Layer, ...], count: int) -> tuple[Layer, ...]:
        """Return the last layers that a segment of so many rows after them takes over."""
        begin = len(layers)
        while begin and layers[begin - 1] not in self._merging:
            more = len(layers[begin - 1])
            if more > GROWTH * count or more + count > MOST_ROWS:
                break
            count += more
            begin -= 1
        return layers[begin:]

    def _merge_aside(self) -> None:
        """Start to merge the last layers, if one takes over others and no merge is running."""
        if self._merging or not self._layers:
            return
        *_, last = self._layers
        taken = self._taken_over(self._layers[:-1], len(last))
        if taken:
            self._merging = (*taken, last)
            frozen = tuple(layer.frozen() for layer in self._merging)
            self._aside = threading.Thread(target=self._merge, args=(self._merging, frozen))
            self._aside.start()

    def _merge(self, taken: tuple[Layer, ...], frozen: tuple[Layer, ...]) -> None:
        """Merge layers as they were, then remove what left them since; run without the lock."""
        try:
            merged = Layer(_segment_of([layer.left() for layer in frozen]))
            with self._lock:
                for layer, before in zip(taken, frozen, strict=True):
                    merged.remove(layer.gone_since(before))
                at = self._layers.index(taken[0])
                left = (merged,) if len(merged) else ()
                layers = (*self._layers[:at], *left, *self._layers[at + len(taken) :])
                self._show(layers, self._tail)
        finally:
            with self._lock:
                self._merging = ()
        with self._lock:
            self._merge_aside()


def _segment_of(pieces: Sequence[tuple[RowArray, NDArray[np.uint64]]]) -> Segment:
    """Return one segment of all rows; the oldest come first, so that rows mostly rise."""
    full = [piece for piece in pieces if len(piece[0])]
    if len(full) == 1:
        return Segment.build(*full[0])
    rows, hashes = (np.concatenate(part) for part in zip(*full, strict=True))
    return Segment.build(rows, hashes)


def _answers(
    layers: Sequence[Layer],
    tail: Tail,
    wanted: NDArray[np.uint64],
    radius: int,
    most: int | None,
) -> list[HashHits]:
    found = [layer.near(wanted, radius, most) for layer in layers]
    if tail.size or not found:
        found.append(tail.near(wanted, radius))
    queries, rows, distances = found[0]
    if len(found) > 1:
        queries, rows, distances = (np.concatenate(part) for part in zip(*found, strict=True))
    if len(wanted) == 1:
        order = np.lexsort((rows, distances))[:most]
        return [HashHits(rows[order], distances[order])]
    order = np.lexsort((rows, distances, queries))
    rows, distances = rows[order], distances[order]
    bounds = np.searchsorted(queries[order], np.arange(len(wanted) + 1)).tolist()
    answers: list[HashHits] = []
    for begin, end in pairwise(bounds):
        stop = end if most is None else min(end, begin + most)
        answers.append(HashHits(rows[begin:stop], distances[begin:stop]))
    return answers
