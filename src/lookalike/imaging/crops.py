"""Cut detected objects out of a picture, for vectors of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from lookalike.imaging.preprocess import to_model_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lookalike.domain.arrays import Pixels
    from lookalike.domain.bundle import Preprocess
    from lookalike.domain.queries import Region

MARGIN: Final = 0.05
"""Of a box's width and height, added on each side (eval/objects/crops.py)."""


def crop_boxes(
    picture: Pixels,
    boxes: Sequence[Region],
    preprocess: Preprocess,
    *,
    margin: float = MARGIN,
    is_squared: bool = True,
) -> Pixels:
    """Return `(n, size, size, 3)` uint8: each box with a margin, resized as the tower wants it.

    Boxes are x, y, width, height in fractions of the `(height, width, 3)` picture. The shorter
    side is widened first as far as the picture goes (`is_squared`), so that a long object is not
    squashed, and keeps its ends where the resizing cuts a centre square out.

    Raises:
        ValueError: a box has no area, or lies outside the picture.
    """
    image = Image.fromarray(np.ascontiguousarray(picture))
    crops = np.empty((len(boxes), preprocess.size, preprocess.size, 3), np.uint8)
    for at, box in enumerate(boxes):
        corners = _corners(box, image.size, margin, is_squared=is_squared)
        crops[at] = to_model_pixels(image.crop(corners), preprocess)
    return crops


def _corners(
    box: Region, size: tuple[int, int], margin: float, *, is_squared: bool
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom in whole pixels, at least one each way."""
    x, y, width, height = box
    spans = [(x * size[0], width * size[0]), (y * size[1], height * size[1])]
    wanted = [length * (1 + 2 * margin) for _, length in spans]
    if is_squared:
        wanted = [max(wanted)] * 2
    (left, right), (top, bottom) = (
        _span(start, length, want, side)
        for (start, length), want, side in zip(spans, wanted, size, strict=True)
    )
    return left, top, right, bottom


def _span(start: float, length: float, wanted: float, side: int) -> tuple[int, int]:
    """Widen a span about its middle to `wanted`, cut to the picture."""
    if not (length > 0 and start < side and start + length > 0):
        raise ValueError(f"a box from {start:g}, {length:g} long, is not inside {side} pixels")
    middle = start + length / 2
    first = min(max(round(middle - wanted / 2), 0), side - 1)
    return first, max(min(round(middle + wanted / 2), side), first + 1)
