"""Distinct hashes sorted once for each substring, and the look around a query in all of them.

Every table holds each hash in whole, turned so that its substring stands on top: a bucket is
a stretch of memory, and a candidate is compared where it lies. Memory gives 64 bytes at once,
so lines of 8 hashes are fetched and compared; hashes beside a bucket come along and do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.adapters.hashes_balls import (
    BITS,
    LINE,
    LINE_NS,
    ball,
    look_ns,
    looked_lines,
    scan_ns,
    thresholds,
    widths,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK_LINES: Final = 1 << 12
"""Lines compared at once: 256 KB, which stay in the cache of a core."""

LONG_RUN: Final = 1 << 12
GROUP_LINES: Final = 1 << 13
GROUP_PROBES: Final = 1 << 14
"""Queries are looked up together up to so many lines and buckets."""

_LINE_BITS: Final = np.uint32(LINE.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Found:
    """Hashes near queries: `(n,)` queries' numbers, hashes' places in an array, distances."""

    queries: NDArray[np.intp]
    places: NDArray[np.intp]
    distances: NDArray[np.uint8]

    @classmethod
    def joined(cls, found: Sequence[Found]) -> Found:
        """Return all of them in one."""
        if not found:
            return cls(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0, np.uint8))
        if len(found) == 1:
            return found[0]
        return cls(
            np.concatenate([part.queries for part in found]),
            np.concatenate([part.places for part in found]),
            np.concatenate([part.distances for part in found]),
        )

    def numbered_from(self, begin: int) -> Found:
        """Return the same of queries whose first is number `begin`."""
        return Found(self.queries + begin, self.places, self.distances)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where to look for one radius, table after table; tables not looked at are left out.

    `masks` are `(probes,)` differences of keys, of which each table has `sizes`, up to `ends`.
    Each table's hashes are turned `left` or, which is the same, `right`; a key is what `above`
    leaves of one, with the table's `tags`.
    """

    masks: NDArray[np.uint32]
    sizes: NDArray[np.intp]
    ends: NDArray[np.intp]
    left: NDArray[np.uint64]
    right: NDArray[np.uint64]
    above: NDArray[np.uint64]
    tags: NDArray[np.uint32]

    def turned(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return `(n,)` hashes as each table holds them, `(n, tables)`."""
        column = hashes[:, None]
        return (column << self.left) | (column >> self.right)

    def turned_back(
        self, values: NDArray[np.uint64], tables: NDArray[np.intp]
    ) -> NDArray[np.uint64]:
        """Return `(n,)` hashes of tables as they were."""
        return (values >> self.left[tables]) | (values << self.right[tables])


@lru_cache(maxsize=256)
def _plan(count: int, radius: int) -> _Plan:
    parts = widths(count)
    balls = [
        ball(width, reach)
        for width, reach in zip(parts, thresholds(count, radius), strict=True)
        if reach >= 0
    ]
    used = len(balls)
    sizes = np.asarray([len(masks) for masks in balls], np.intp)
    left = np.asarray([sum(parts[:at]) for at in range(used)], np.uint64)
    return _Plan(
        masks=np.concatenate(balls),
        sizes=sizes,
        ends=sizes.cumsum(),
        left=left,
        right=(np.uint64(BITS) - left) % np.uint64(BITS),
        above=np.uint64(BITS) - np.asarray(parts[:used], np.uint64),
        tags=np.arange(used, dtype=np.uint32) << np.uint32(parts[-1]),
    )


@dataclass(frozen=True, slots=True)
class HashTables:
    """`count` distinct hashes, in as many tables as there are substrings.

    `lines` is `(tables * n, 8)` uint64; each table's last line is filled up with its last hash.
    `starts[table << bits | key]` is where in them all the hashes of a key begin, and the next
    number is where they end.
    """

    count: int
    substrings: int
    lines: NDArray[np.uint64]
    starts: NDArray[np.uint32]

    @classmethod
    def build(cls, values: NDArray[np.uint64], substrings: int) -> HashTables:
        """Sort `(n,)` distinct rising hashes, n > 0, by each substring."""
        parts = widths(substrings)
        stride = -(-len(values) // LINE) * LINE
        every = np.empty((substrings, stride), np.uint64)
        starts = np.empty((substrings << parts[-1]) + 1, np.uint32)
        shift = 0
        for table, width in enumerate(parts):
            mine = every[table, : len(values)]
            _turn_into(mine, values, shift)
            every[table, len(values) :] = mine[-1]
            keys = np.arange(1 << width, dtype=np.uint64) << np.uint64(BITS - width)
            begins = starts[table << parts[-1] : (table + 1) << parts[-1]]
            begins[: 1 << width] = np.searchsorted(mine, keys) + table * stride
            begins[1 << width :] = (table + 1) * stride
            shift += width
        starts[-1] = substrings * stride
        return cls(len(values), substrings, every.reshape(-1, LINE), starts)

    @property
    def values(self) -> NDArray[np.uint64]:
        """The `(count,)` hashes, rising."""
        return self.lines.reshape(-1)[: self.count]

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.lines.nbytes + self.starts.nbytes

    def near(self, hashes: NDArray[np.uint64], radius: int) -> Found:
        """Return every hash within the radius, at most 64, of each of `(n,)` queries, once."""
        if look_ns(self.substrings, radius, self.count) > scan_ns(self.count):
            return scanned(self.values, hashes, radius)
        return self.looked_up(hashes, radius)

    def looked_up(self, hashes: NDArray[np.uint64], radius: int) -> Found:
        """Do the same by the tables, whatever it costs."""
        lines = looked_lines(self.substrings, radius, self.count)
        plan = _plan(self.substrings, radius)
        step = max(1, min(int(GROUP_LINES / (lines + 1)), GROUP_PROBES // len(plan.masks)))
        return Found.joined(
            [
                self._look(at, hashes[at : at + step], plan, radius)
                for at in range(0, len(hashes), step)
            ]
        )

    def _look(self, begin: int, hashes: NDArray[np.uint64], plan: _Plan, radius: int) -> Found:
        """Look around a few queries, the first of which is number `begin`."""
        wanted = plan.turned(hashes)
        keys = (wanted >> plan.above).astype(np.uint32)
        keys |= plan.tags
        is_one = len(hashes) == 1
        sizes = plan.sizes if is_one else np.tile(plan.sizes, len(hashes))
        probes = keys.reshape(-1).repeat(sizes)
        probes ^= plan.masks if is_one else np.tile(plan.masks, len(hashes))
        first = self.starts.take(probes)
        first >>= _LINE_BITS
        probes += np.uint32(1)
        last = self.starts.take(probes)
        last += np.uint32(LINE - 1)
        last >>= _LINE_BITS
        counts = (last - first).astype(np.intp)
        ends = counts.cumsum()
        if int(ends[-1]) > 4 * GROUP_LINES and not is_one:  # more crowded than most buckets
            half = len(hashes) // 2
            return Found.joined(
                [
                    self._look(begin, hashes[:half], plan, radius),
                    self._look(begin + half, hashes[half:], plan, radius),
                ]
            )
        if int(ends[-1]) * LINE_NS > scan_ns(self.count) * len(hashes):
            return scanned(self.values, hashes, radius).numbered_from(begin)
        lines = (first - ends + counts).repeat(counts)
        lines += np.arange(len(lines))
        found = [
            self._compared(lines[run], target, radius, run.start)
            for run, target in _runs(wanted, sizes, counts, ends)
        ]
        at, values, distances = _joined(found)
        if not len(at):
            return Found.joined(())
        probe = ends.searchsorted(at, side="right")
        if is_one:
            owners, within = np.zeros(len(at), np.intp), probe
        else:
            owners, within = np.divmod(probe, len(plan.masks))
        values = plan.turned_back(values, plan.ends.searchsorted(within, side="right"))
        return self._distinct(owners + begin, values, distances)

    def _compared(
        self,
        lines: NDArray[np.intp],
        targets: NDArray[np.uint64] | np.uint64,
        radius: int,
        begin: int,
    ) -> _Near:
        """Return the numbers, from `begin`, of lines with near hashes, these, and distances.

        `targets` are `(n, 1)`, one for each line, or one for all.
        """
        found: list[_Near] = []
        for at in range(0, max(1, len(lines)), CHUNK_LINES):
            chosen = slice(at, at + CHUNK_LINES)
            mine = targets[chosen] if isinstance(targets, np.ndarray) else targets
            differing = self.lines.take(lines[chosen], axis=0)
            differing ^= mine
            distances = np.bitwise_count(differing)
            near = np.flatnonzero(distances <= radius)
            if len(near):
                at_lines = near // LINE
                mine = mine[at_lines, 0] if isinstance(mine, np.ndarray) else mine
                values = differing.reshape(-1)[near] ^ mine
                found.append((at_lines + (at + begin), values, distances.reshape(-1)[near]))
        return _joined(found)

    def _distinct(
        self,
        queries: NDArray[np.intp],
        values: NDArray[np.uint64],
        distances: NDArray[np.uint8],
    ) -> Found:
        """Return each found hash once: several tables find the same."""
        order = np.lexsort((values, queries))
        queries, values, distances = queries[order], values[order], distances[order]
        is_new = np.ones(len(order), np.bool_)
        is_new[1:] = (values[1:] != values[:-1]) | (queries[1:] != queries[:-1])
        values = values[is_new]
        return Found(queries[is_new], np.searchsorted(self.values, values), distances[is_new])


_Near: TypeAlias = tuple[NDArray[np.intp], NDArray[np.uint64], NDArray[np.uint8]]
"""Numbers of lines, near hashes in them, distances."""


def _joined(found: Sequence[_Near]) -> _Near:
    if not found:
        return np.zeros(0, np.intp), np.zeros(0, np.uint64), np.zeros(0, np.uint8)
    if len(found) == 1:
        return found[0]
    lines, values, distances = zip(*found, strict=True)
    return np.concatenate(lines), np.concatenate(values), np.concatenate(distances)


def _runs(
    wanted: NDArray[np.uint64],
    sizes: NDArray[np.intp],
    counts: NDArray[np.intp],
    ends: NDArray[np.intp],
) -> Iterator[tuple[slice, NDArray[np.uint64] | np.uint64]]:
    """Yield stretches of lines and what to compare them with.

    With many lines, each table's are compared with one number, which is faster than with a
    number of their own; with few lines, all at once.
    """
    if len(wanted) == 1 and ends[-1] > LONG_RUN:
        begin = 0
        for end, target in zip(ends[sizes.cumsum() - 1].tolist(), wanted[0], strict=True):
            yield slice(begin, end), target
            begin = end
    else:
        targets = wanted.reshape(-1).repeat(sizes).repeat(counts)
        yield slice(0, int(ends[-1])), targets[:, None]


def scanned(values: NDArray[np.uint64], hashes: NDArray[np.uint64], radius: int) -> Found:
    """Compare each of `(n,)` queries with each of `(m,)` values, which need no order."""
    found: list[Found] = []
    for begin in range(0, len(values), CHUNK_LINES * LINE):
        part = values[begin : begin + CHUNK_LINES * LINE]
        for query, wanted in enumerate(hashes):
            distances = np.bitwise_count(part ^ wanted)
            near = np.flatnonzero(distances <= radius)
            if len(near):
                owners = np.full(len(near), query, np.intp)
                found.append(Found(owners, near + begin, distances[near]))
    return Found.joined(found)


def _turn_into(out: NDArray[np.uint64], values: NDArray[np.uint64], shift: int) -> None:
    """Write the values turned left by so many bits, sorted; unturned ones are sorted already."""
    if not shift:
        out[:] = values
        return
    np.left_shift(values, np.uint64(shift), out=out)
    for begin in range(0, len(values), CHUNK_LINES * LINE):
        part = slice(begin, begin + CHUNK_LINES * LINE)
        out[part] |= values[part] >> np.uint64(BITS - shift)
    out.sort()
