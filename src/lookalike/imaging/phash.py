"""The 64-bit perceptual hash of a picture, and the distance between hashes.

The hash is the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image
Hash Functions" (2010), as the `imagehash` package defines it: grey, 32×32 by Lanczos,
the 8×8 lowest frequencies of a type II DCT against their median, first bit highest.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIDE: Final = 32
_KEPT: Final = 8
_NOISE: Final = 4.0
"""A coefficient nearer to the median than this may flip under slight noise."""

HashArray: TypeAlias = NDArray[np.uint64]
"""`(n,)` uint64 hashes."""


def phash(image: Image.Image) -> tuple[int, float]:
    """Return the hash in [0, 2^64) and its quality in [0, 1].

    The quality is the share of bits that slight noise would not flip; it is 0 for a flat
    picture, whose bits mean nothing, and near 1 for a photograph.
    """
    grey = image if image.mode == "L" else image.convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    basis = _dct_basis()
    pixels = np.asarray(small, dtype=np.float64)
    low = (basis @ pixels @ basis.T).ravel()
    ordered = np.sort(low)
    median = (ordered[31] + ordered[32]) / 2
    margin = low - median
    bits = int.from_bytes(np.packbits(margin > 0).tobytes(), "big")
    quality = float((np.abs(margin) > _NOISE).mean())
    return bits, max(0.0, round((quality * 64 - 1) / 63, 4))


@lru_cache(maxsize=1)
def _dct_basis() -> NDArray[np.float64]:
    """Return the lowest rows of the type II DCT, `(8, 32)`, all scaled alike.

    The constant row is not shortened to unit length, since `imagehash` does not.
    """
    frequency = np.arange(_KEPT)[:, None]
    place = np.arange(_SIDE)[None, :]
    return np.cos(np.pi * frequency * (2 * place + 1) / (2 * _SIDE)) * np.sqrt(2 / _SIDE)


def hamming(hashes: HashArray | Sequence[int], query: int) -> NDArray[np.uint8]:
    """Return how many bits of each hash differ from the query's, `(n,)` uint8."""
    array = np.asarray(hashes, dtype=np.uint64)
    return np.bitwise_count(np.bitwise_xor(array, np.uint64(query)))
