"""Make the pixels that an encoder's image tower takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from lookalike.domain.errors import UsageError

if TYPE_CHECKING:
    from lookalike.domain.arrays import Pixels
    from lookalike.domain.bundle import Interpolation, Preprocess
    from lookalike.domain.queries import Region
    from lookalike.imaging.decode import Picture

_FILTERS: Final[dict[Interpolation, Image.Resampling]] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_REDUCING_GAP: Final = 2.0
"""Pillow's fast box reduction runs first only where the shrinking is at least this much more."""


def to_model_pixels(picture: Picture | Image.Image, preprocess: Preprocess) -> Pixels:
    """Return the picture as `(size, size, 3)` uint8, resized as the tower was trained.

    `shortest_edge_center_crop` resizes only what the crop keeps, which gives the very
    pixels of resizing everything first.
    """
    image = picture if isinstance(picture, Image.Image) else picture.pixels
    size = preprocess.size
    if image.size == (size, size):
        return np.asarray(image)
    box = None
    if preprocess.resize == "shortest_edge_center_crop":
        box = _center_box(image.size, size)
    resized = image.resize(
        (size, size), _FILTERS[preprocess.interpolation], box=box, reducing_gap=_REDUCING_GAP
    )
    return np.asarray(resized)


def _center_box(source: tuple[int, int], size: int) -> tuple[float, float, float, float]:
    """Return the part of the source that a centre crop after resizing would keep.

    Rounds as torchvision's `Resize` (the longer side is cut down) and `CenterCrop` do.
    """
    short = min(source)
    spans: list[tuple[float, float]] = []
    for side in source:
        resized = size * side // short
        start = round((resized - size) / 2)
        spans.append((start * side / resized, (start + size) * side / resized))
    (left, right), (top, bottom) = spans
    return left, top, min(right, source[0]), min(bottom, source[1])


def crop_region(picture: Picture | Image.Image, region: Region) -> Image.Image:
    """Cut a region given as x, y, width, height in fractions of the upright picture.

    Raises:
        UsageError: when the region is not inside the picture or holds nothing.
    """
    image = picture if isinstance(picture, Image.Image) else picture.pixels
    x, y, width, height = region
    slack = 1e-6
    is_inside = x >= -slack and y >= -slack and x + width <= 1 + slack and y + height <= 1 + slack
    if not (is_inside and width > 0 and height > 0):
        raise UsageError(
            f"the region {x:g},{y:g},{width:g},{height:g} does not lie inside the picture",
            hint="give x,y,w,h as fractions of width and height, such as 0.25,0.25,0.5,0.5",
        )
    left, top = int(x * image.width + slack), int(y * image.height + slack)
    right = max(round((x + width) * image.width), left + 1)
    bottom = max(round((y + height) * image.height), top + 1)
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, min(right, image.width), min(bottom, image.height)))
