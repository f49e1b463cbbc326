"""Lay a picture on the canvas that a detector takes, and find boxes' way back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from lookalike.domain.arrays import FloatMatrix, Pixels
    from lookalike.domain.bundle import DetectorModel

STRIDE: Final = 32
"""The sides of a canvas are multiples of it: the step of the coarsest grid of cells."""

_REDUCING_GAP: Final = 2.0


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A picture on its canvas, `(height, width, 3)` uint8 RGB.

    `inner` is left, top, width, height of the part of the canvas that it fills, in pixels.
    """

    canvas: Pixels = field(repr=False)
    inner: tuple[int, int, int, int]

    def to_fractions(self, boxes: FloatMatrix) -> FloatMatrix:
        """Turn `(n, 4)` x1, y1, x2, y2 on the canvas into fractions of the picture, cut to it."""
        left, top, width, height = self.inner
        shift = np.array([left, top, left, top], np.float32)
        scale = np.array([width, height, width, height], np.float32)
        return np.clip((boxes - shift) / scale, 0.0, 1.0)


def letterbox(picture: Pixels, model: DetectorModel) -> Letterbox:
    """Resize a `(height, width, 3)` picture and lay it on a canvas of grey."""
    height, width = picture.shape[:2]
    scale = model.size / max(height, width)
    inner_height = min(max(round(height * scale), 1), model.size)
    inner_width = min(max(round(width * scale), 1), model.size)
    if model.canvas == "square":
        canvas_height = canvas_width = model.size
    else:
        canvas_height, canvas_width = _up(inner_height), _up(inner_width)
    left = top = 0
    if model.placement == "centre":
        left, top = (canvas_width - inner_width) // 2, (canvas_height - inner_height) // 2
    canvas = np.full((canvas_height, canvas_width, 3), model.pad, np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = _resize(
        picture, (inner_width, inner_height)
    )
    return Letterbox(canvas, (left, top, inner_width, inner_height))


def _up(side: int) -> int:
    return -(-side // STRIDE) * STRIDE


def _resize(picture: Pixels, size: tuple[int, int]) -> Pixels:
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture))
    resized = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized)
