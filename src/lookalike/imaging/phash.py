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
    from collections.abc import Mapping, Sequence

_SIDE: Final = 32
_KEPT: Final = 8
_NOISE: Final = 4.0
"""A coefficient nearer to the median than this may flip under slight noise."""

TURNS: Final[Mapping[str, tuple[bool, bool, bool]]] = {
    "upright": (False, False, False),
    "mirrored": (False, True, False),
    "upside down": (False, True, True),
    "flipped": (False, False, True),
    "transposed": (True, False, False),
    "turned right": (True, True, False),
    "transversed": (True, True, True),
    "turned left": (True, False, True),
}
"""The eight ways to turn and mirror, in the order of EXIF's orientations 1 to 8: whether the
axes are swapped, and then left with right and top with bottom."""

HashArray: TypeAlias = NDArray[np.uint64]
"""`(n,)` uint64 hashes."""


def phash(image: Image.Image) -> tuple[int, float]:
    """Return the hash in [0, 2^64) and its quality in [0, 1].

    The quality is the share of bits that slight noise would not flip; it is 0 for a flat
    picture, whose bits mean nothing, and near 1 for a photograph.
    """
    margin = _above_median(_low_frequencies(image).reshape(1, -1))[0]
    quality = float((np.abs(margin) > _NOISE).mean())
    return int(_packed(margin[None] > 0)[0]), max(0.0, round((quality * 64 - 1) / 63, 4))


def phash_turns(image: Image.Image) -> HashArray:
    """Return the `(8,)` hashes of the picture turned and mirrored, in the order of `TURNS`.

    A mirror changes the sign of the odd frequencies of its axis, and a transposition swaps the
    axes, so that one DCT serves all; each has a median of its own. They are the hashes of the
    turned grey 32×32 picture; scaling to it is the same in both axes but for rounding.
    """
    low = _low_frequencies(image)
    turned = np.stack([_turned(low, *how) for how in TURNS.values()])
    return _packed(_above_median(turned.reshape(len(TURNS), -1)) > 0)


def _low_frequencies(image: Image.Image) -> NDArray[np.float64]:
    """Return the `(8, 8)` lowest frequencies, vertical ones by row."""
    grey = image if image.mode == "L" else image.convert("L")
    small = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    basis = _dct_basis()
    return basis @ np.asarray(small, dtype=np.float64) @ basis.T


def _above_median(low: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each of `(n, 64)` frequencies lies above the median of its row."""
    ordered = np.sort(low, axis=1)
    return low - (ordered[:, 31:32] + ordered[:, 32:33]) / 2


def _packed(bits: NDArray[np.bool_]) -> HashArray:
    """Return `(n, 64)` bits as `(n,)` hashes, first bit highest."""
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def _turned(
    low: NDArray[np.float64], is_swapped: bool, is_mirrored: bool, is_flipped: bool
) -> NDArray[np.float64]:
    """Return frequencies with the axes swapped, then left and right, then top and bottom."""
    signs = np.where(np.arange(_KEPT) % 2, -1.0, 1.0)
    turned = low.T if is_swapped else low
    turned = turned * signs[None, :] if is_mirrored else turned
    return turned * signs[:, None] if is_flipped else turned


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
