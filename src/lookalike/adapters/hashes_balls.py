"""The arithmetic of multi-index hashing: the order of bits, substrings, balls and radii.

Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with multi-index hashing"
(TPAMI 2014): when 64 bits are cut into m substrings, two hashes within r bits are near in at
least one of them, so near ones are found by looking around each substring.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

BITS: Final = 64
STRIDE: Final = 3
LINE: Final = 8
"""Hashes in 64 bytes, which is what memory gives at once."""

FEWEST: Final = 3
MOST: Final = 8
DESIGN_RADIUS: Final = 10

CALLS_NS: Final = 60_000.0
PROBE_NS: Final = 25.0
LINE_NS: Final = 35.0
SCANNED_LINE_NS: Final = 8.0
"""Measured with NumPy: the calls of one look, looking up a bucket, fetching and comparing 8
hashes there, and the same for hashes in a row."""


@lru_cache(maxsize=1)
def _spread() -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Return what each value of each byte of a hash becomes, `(8, 256)`, and the bytes' numbers.

    The lowest byte comes first. Every third bit follows another: a pHash lists its 8×8
    frequencies row by row, and bits of one row depend on each other. A substring of such bits
    falls together more often.
    """
    order = [place for start in range(STRIDE) for place in range(start, BITS, STRIDE)]
    becomes = np.empty(BITS, np.int64)
    becomes[order] = np.arange(BITS)
    table = np.zeros((8, 256), np.uint64)
    values = np.arange(256)
    for byte in range(8):
        for bit in range(8):
            place = BITS - 1 - (8 * byte + bit)  # counted from the highest, as pHash does
            target = np.uint64(BITS - 1 - int(becomes[place]))
            table[byte] |= ((values >> bit) & 1).astype(np.uint64) << target
    return table, np.arange(8)


def spread(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return `(n,)` hashes with their bits in the order of the index; distances stay."""
    table, octet = _spread()
    if len(hashes) <= 4096:
        octets = np.ascontiguousarray(hashes, "<u8").view(np.uint8).reshape(-1, 8)
        return np.bitwise_or.reduce(table[octet, octets], axis=1)
    spread_ = np.zeros(len(hashes), np.uint64)
    for byte in range(8):
        spread_ |= table[byte][(hashes >> np.uint64(8 * byte)).astype(np.uint8)]
    return spread_


def widths(count: int) -> tuple[int, ...]:
    """Return the bits of each of `count` substrings, the wider ones last."""
    share, more = divmod(BITS, count)
    return tuple(share + (at >= count - more) for at in range(count))


def thresholds(count: int, radius: int) -> tuple[int, ...]:
    """Return how far to look in each substring; -1 says not at all.

    The thresholds t sum to radius - count + 1: were each substring farther than its t, the
    hashes would differ in at least the sum of t + 1 = radius + 1 bits. The first ones, which
    are the narrower, look farther.
    """
    share, more = divmod(radius - count + 1, count)
    return tuple(share + (at < more) for at in range(count))


def ball_size(width: int, radius: int) -> int:
    """Return how many values of so many bits lie within the radius of one; 0 for -1."""
    size, layer = 0, 1
    for distance in range(min(radius, width) + 1):
        size += layer
        layer = layer * (width - distance) // (distance + 1)
    return size


@lru_cache(maxsize=64)
def ball(width: int, radius: int) -> NDArray[np.uint32]:
    """Return the differences of up to `radius` bits, `(ball_size,)`, the fewest bits first."""
    layers = [
        np.fromiter(
            (sum(1 << bit for bit in bits) for bits in combinations(range(width), distance)),
            np.uint32,
        )
        for distance in range(min(radius, width) + 1)
    ]
    return np.concatenate(layers)


@lru_cache(maxsize=1024)
def looked_lines(count: int, radius: int, hashes: int) -> float:
    """Return about how many lines a query fetches from so many hashes in all its tables."""
    reaches = zip(widths(count), thresholds(count, radius), strict=True)
    return sum(
        ball_size(width, reach) * (1 - 1 / LINE + hashes / 2**width / LINE)
        for width, reach in reaches
    )


@lru_cache(maxsize=1024)
def look_ns(count: int, radius: int, hashes: int) -> float:
    """Return about how many nanoseconds a query takes with so many substrings."""
    reaches = zip(widths(count), thresholds(count, radius), strict=True)
    probes = sum(ball_size(width, reach) for width, reach in reaches)
    return CALLS_NS + probes * PROBE_NS + looked_lines(count, radius, hashes) * LINE_NS


def scan_ns(hashes: int) -> float:
    """Return about how many nanoseconds it takes to look at every hash."""
    return hashes / LINE * SCANNED_LINE_NS


def best_count(hashes: int) -> int:
    """Return the number of substrings that makes queries at the design radius the fastest."""
    return min(range(FEWEST, MOST + 1), key=lambda count: look_ns(count, DESIGN_RADIUS, hashes))
