"""Tell cheaply whether a picture may hold text, so that reading is tried only where it may pay.

Finding lines of text costs a hundred times what this does. Blocks of 8 × 8 pixels are measured
at three sizes, and a convolutional network small enough for plain numpy looks at each with its
neighbours, so that it sees letters of some 6 to 100 pixels height on a picture of 640. It
learned from the words that RapidOCR reads off photographs, and from text drawn on them:
eval/ocr/gate.py, which also reports how well it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.domain.arrays import Pixels

Plane: TypeAlias = NDArray[np.float32]
Grey: TypeAlias = NDArray[np.uint8]

THRESHOLD: Final = 0.75
"""The score from which text should be looked for."""

BLOCK: Final = 8
LEVELS: Final = 3
CELL: Final = BLOCK << (LEVELS - 1)
"""Pixels of the side of a block of the smallest level, on the largest one."""

MARGIN: Final = 2
"""How many blocks to each side a block's score depends on."""

_LINE: Final = (2, 4)
_LONGEST: Final = 640
_SHORTEST: Final = 256
_THINNEST: Final = 6
_WEIGHTS_FILE: Final = Path(__file__).with_name("text_gate.npz")


_REACHES: Final = ((1, 0), (0, 1), (3, 0), (0, 3), (7, 0), (0, 7))
_SAMPLES: Final = BLOCK // 2
_STRONG: Final = 40
_INK: Final = 16
FEATURES: Final = len(_REACHES) + 5
"""Measurements of a block: how much pixels differ from those 1, 3 and 7 to the right and below,
how many do strongly from the next ones, how far they lie from the block's mean, and how many are
clearly darker or lighter than it (ink is the lesser part of a page)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The network: two 3 × 3 convolutions, and a score a block.

    `first` is `(9 features, c)`, `second` is `(9 c, c)`, nine neighbours row by row; `last` is
    `(c,)`.
    """

    first: Plane
    first_bias: Plane
    second: Plane
    second_bias: Plane
    last: Plane
    last_bias: Plane


def may_hold_text(picture: Pixels) -> float:
    """Return how likely a `(height, width, 3)` uint8 RGB picture holds text, in [0, 1].

    Raises:
        ValueError: the picture has another shape or type.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"a picture must be (height, width, 3) uint8, not {picture.shape} {picture.dtype}"
        )
    if min(picture.shape[:2]) < _THINNEST:
        return 0.0
    weights = packaged_weights()
    best = max(best_line(score_blocks(features_of(grey), weights)) for grey in levels_of(picture))
    return float(1 / (1 + np.exp(-best)))


def best_line(scores: Plane) -> float:
    """Return the best mean score of a piece of line: two blocks high and four long, or upright.

    One block alone may look like text by chance.
    """
    return max(
        float(_sums(_sums(scores, high, 0), long, 1).max()) / (high * long)
        for high, long in (_LINE, _LINE[::-1])
        if scores.shape[0] >= high and scores.shape[1] >= long
    )


def _sums(plane: Plane, count: int, axis: int) -> Plane:
    """Return sums of `count` neighbours along an axis."""
    length = plane.shape[axis] - count + 1
    parts = (np.take(plane, range(i, i + length), axis=axis) for i in range(count))
    total = next(parts).copy()
    for part in parts:
        total += part
    return total


def levels_of(picture: Pixels) -> list[Grey]:
    """Return the picture in grey at three sizes, each half the one before.

    The longer side of the first is 256 to 640 pixels; its sides are whole cells, two at
    least, filled up by repeating the last row and column.
    """
    longer = max(picture.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(picture)).convert("L")
    if longer > _LONGEST:
        image = image.reduce(-(-longer // _LONGEST))
    elif longer < _SHORTEST:
        by = -(-_SHORTEST // longer)
        size = (image.width * by, image.height * by)
        image = image.resize(size, Image.Resampling.BILINEAR)
    grey = np.asarray(image)
    wanted = (max(-(-side // CELL), 2) * CELL for side in grey.shape)
    over = [whole - side for whole, side in zip(wanted, grey.shape, strict=True)]
    if any(over):
        grey = np.pad(grey, ((0, over[0]), (0, over[1])), mode="edge")
        image = Image.fromarray(grey)
    levels = [grey]
    for _ in range(1, LEVELS):
        image = image.reduce(2)
        levels.append(np.asarray(image))
    return levels


def features_of(grey: Grey) -> Plane:
    """Return the measurements of each block, `(rows, columns, FEATURES)`, in [0, 1].

    Taken on every second row of pixels, which says as much. Roots of shares, so that faint
    text differs less from strong.
    """
    height, width = grey.shape[0] // 2, grey.shape[1]
    wide = np.pad(grey, ((0, BLOCK), (0, BLOCK)), mode="edge")
    halves = np.ascontiguousarray(wide[::2]), np.ascontiguousarray(wide[1::2])
    base = np.ascontiguousarray(halves[0][:height, :width])
    planes = np.empty((FEATURES, height, width), np.uint8)
    lower = np.empty((height, width), np.uint8)
    for plane, (x, y) in zip(planes, _REACHES, strict=False):
        other = halves[y % 2][y // 2 : y // 2 + height, x : x + width]
        np.minimum(base, other, out=lower)
        np.maximum(base, other, out=plane)
        np.subtract(plane, lower, out=plane)
    strong, far, dark, light = (len(_REACHES) + i for i in (0, 2, 3, 4))
    np.greater(planes[:2], _STRONG, out=planes[strong : strong + 2].view(np.bool_))
    mean = (_block_sums(base[None])[:, :, 0] // (_SAMPLES * BLOCK)).astype(np.uint8)
    ground = mean.repeat(BLOCK, axis=1).repeat(_SAMPLES, axis=0)
    np.minimum(base, ground, out=lower)
    higher = np.maximum(base, ground)
    np.subtract(higher, lower, out=planes[far])
    np.greater(ground - lower, _INK, out=planes[dark].view(np.bool_))
    np.greater(higher - ground, _INK, out=planes[light].view(np.bool_))
    scale = np.full(FEATURES, 1 / (255 * _SAMPLES * BLOCK), np.float32)
    scale[[strong, strong + 1, dark, light]] *= 255
    return np.sqrt(_block_sums(planes) * scale)


def _block_sums(planes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return sums over blocks of 4 sampled rows and 8 columns, `(rows, columns, planes)`."""
    count, height, width = planes.shape
    parts = planes.reshape(count, height // _SAMPLES, _SAMPLES, width)
    rows = np.add(parts[:, :, 0], parts[:, :, 1], dtype=np.uint16)
    for row in range(2, _SAMPLES):
        rows += parts[:, :, row]
    sums = rows[:, :, ::BLOCK].copy()
    for column in range(1, BLOCK):
        sums += rows[:, :, column::BLOCK]
    return np.ascontiguousarray(sums.transpose(1, 2, 0))


def convolve(plane: Plane, weight: Plane, bias: Plane) -> Plane:
    """Return what is positive of a 3 × 3 convolution; two rows and columns are lost.

    Only rows of three neighbours are laid out, not all nine: copying would cost more than the
    sums.
    """
    rows, columns, channels = plane.shape
    columns -= 2
    triples = np.empty((rows, columns, 3 * channels), np.float32)
    for i in range(3):
        triples[:, :, i * channels : (i + 1) * channels] = plane[:, i : i + columns]
    flat = triples.reshape(-1, 3 * channels)
    count = (rows - 2) * columns
    result = np.tile(bias, (count, 1))
    for i in range(3):
        part = flat[i * columns : i * columns + count]
        result += part @ weight[3 * i * channels : 3 * (i + 1) * channels]
    return np.maximum(result, 0, out=result).reshape(rows - 2, columns, -1)


def score_blocks(features: Plane, w: Weights) -> Plane:
    """Return the score of each block, `(rows, columns)`, from those two around it too."""
    wide = np.pad(features, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
    hidden = convolve(wide, w.first, w.first_bias)
    return convolve(hidden, w.second, w.second_bias) @ w.last + w.last_bias


@lru_cache(maxsize=1)
def packaged_weights() -> Weights:
    """Return the weights that come with the package."""
    with np.load(_WEIGHTS_FILE) as file:
        return Weights(**{name: file[name].astype(np.float32) for name in Weights.__slots__})
