"""Regions: detected objects with vectors of their own, numbered within their image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from lookalike.domain.arrays import RowArray
    from lookalike.domain.images import DetectedObject

NUMBER_BITS: Final = 5
MOST_REGIONS: Final = 12
"""Regions of one image at the most; a code has room for 32."""

LEAST_SHARE: Final = 0.004
MOST_SHARE: Final = 0.85
"""Objects that cover less of a picture show too little; larger ones are the picture itself."""


def region_code(row: int, number: int) -> int:
    """Return the one number of an image's region; it fits in 63 bits for hashed rows too."""
    return row << NUMBER_BITS | number


def split_codes(codes: RowArray) -> tuple[RowArray, RowArray]:
    """Return the image rows and the numbers within their images of `(n,)` region codes."""
    return codes >> NUMBER_BITS, codes & np.int64((1 << NUMBER_BITS) - 1)


def region_numbers(objects: tuple[DetectedObject, ...]) -> tuple[int, ...]:
    """Return which objects have a region vector: those of a telling size, the surest first."""
    shares = [found.box[2] * found.box[3] for found in objects]
    telling = [at for at, share in enumerate(shares) if LEAST_SHARE <= share <= MOST_SHARE]
    surest = sorted(telling, key=lambda at: (-objects[at].score, at))[:MOST_REGIONS]
    return tuple(sorted(at for at in surest if at < 1 << NUMBER_BITS))
