"""The colours of a picture: CIELAB, a palette of at most sixteen, and basic colour terms.

Pixels are looked up in tables of 32 levels a channel, so that a picture costs a few
indexing operations on a small version of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.domain.arrays import Pixels
from lookalike.domain.images import COLOR_NAMES, PaletteColour
from lookalike.domain.shades import lab_of
from lookalike.imaging.colour_terms import name_colours, typicality
from lookalike.imaging.colour_weights import WEIGHTS

FloatArray: TypeAlias = NDArray[np.float32]

PALETTE_SIZE: Final = 16
_LEVELS: Final = 32
_COARSE_CELLS: Final = 4096
_MERGE_DISTANCE: Final = 8.0
"""CIELAB distance under which two palette entries would look like one colour."""

_MIN_WEIGHT: Final = 0.01
_OPAQUE: Final = 128

_EDGE_WEIGHT: Final = 0.4
_BLOCKS: Final = 12
"""Blocks a side; a window is two by two of them, 2.8 % of the picture."""

SHARE_FLOOR: Final = 0.002
PATCH_FLOOR: Final = 0.02
"""Added before taking logarithms; less than this is as good as nothing."""


@dataclass(frozen=True, slots=True)
class Colours:
    """A picture's palette, most frequent first, and the basic colour terms said of it.

    `shares` has the weighted share of each of `COLOR_NAMES`, for explanations.
    """

    palette: tuple[PaletteColour, ...]
    tags: tuple[str, ...]
    shares: tuple[float, ...]


def srgb_to_lab(rgb: NDArray[np.generic]) -> FloatArray:
    """Convert sRGB in 0 to 255, `(..., 3)`, to CIELAB (D65, 2°), `(..., 3)` float32."""
    return lab_of(np.asarray(rgb, dtype=np.float64)).astype(np.float32)


def read_colours(pixels: Pixels, alpha: NDArray[np.uint8] | None = None) -> Colours:
    """Return the palette and the colour terms of a small `(h, w, 3)` version of a picture.

    Args:
        pixels: sRGB, about 64 pixels a side; cost grows with their number.
        alpha: `(h, w)`; pixels less than half opaque are not counted.
    """
    height, width = pixels.shape[:2]
    weights = _middle_weights(height, width)
    blocks = _block_numbers(height, width)
    flat = pixels.reshape(-1, 3)
    if alpha is not None:
        seen = alpha.reshape(-1) >= _OPAQUE
        flat, weights, blocks = flat[seen], weights[seen], (blocks[0][seen], blocks[1])
        if len(flat) == 0:
            return Colours((), (), (0.0,) * len(COLOR_NAMES))
    levels = (flat.T >> 3).astype(np.int32, order="C")
    terms, plain = _named(levels)
    named = np.bincount(terms, weights=weights, minlength=len(COLOR_NAMES))
    shares = named / named.sum()
    inputs = _measure(terms, plain, weights, blocks)
    return Colours(
        palette=_palette(flat, levels),
        tags=_tags(shares, inputs),
        shares=tuple(shares.round(4).tolist()),
    )


def term_inputs(pixels: Pixels) -> FloatArray:
    """Return what the tags of a small opaque picture are decided by, `(11, 2)`.

    For each term the logarithm of its share, and that of its share of the window that it fills
    best; in both a pixel counts by how plainly it is its colour (`colour_terms.typicality`). The
    first sees what a picture is full of, the second a small thing of strong colour.
    """
    height, width = pixels.shape[:2]
    levels = (pixels.reshape(-1, 3).T >> 3).astype(np.int32, order="C")
    terms, plain = _named(levels)
    weights = _middle_weights(height, width)
    return _measure(terms, plain, weights, _block_numbers(height, width))


def term_shares(pixels: Pixels) -> tuple[float, ...]:
    """Return the plain share of each of `COLOR_NAMES` in a small opaque picture."""
    levels = (pixels.reshape(-1, 3).T >> 3).astype(np.int32, order="C")
    counts = np.bincount(_named(levels)[0], minlength=len(COLOR_NAMES))
    return tuple((counts / counts.sum()).tolist())


def _named(levels: NDArray[np.int32]) -> tuple[NDArray[np.uint8], FloatArray]:
    """Return each pixel's term and how plainly it is that term."""
    codes = (levels[0] << 10) | (levels[1] << 5) | levels[2]
    return _term_table()[codes], _typical_table()[codes]


def _measure(
    terms: NDArray[np.uint8],
    plain: FloatArray,
    weights: NDArray[np.float64],
    blocks: tuple[NDArray[np.int32], float],
) -> FloatArray:
    count = len(COLOR_NAMES)
    shares = np.bincount(terms, weights=weights * plain, minlength=count) / weights.sum()
    numbers, block_pixels = blocks
    cells = terms.astype(np.int32) * _BLOCKS**2 + numbers
    filled = np.bincount(cells, weights=plain, minlength=count * _BLOCKS**2)
    grid = filled.reshape(count, _BLOCKS, _BLOCKS)
    pairs = grid[:, 1:] + grid[:, :-1]
    best = (pairs[:, :, 1:] + pairs[:, :, :-1]).max(axis=(1, 2)) / (4 * block_pixels)
    logs = (np.log(shares + SHARE_FLOOR), np.log(np.minimum(best, 1.0) + PATCH_FLOOR))
    return np.stack(logs, axis=1).astype(np.float32)


def _tags(shares: NDArray[np.float64], inputs: FloatArray) -> tuple[str, ...]:
    """Return the terms that are said, the largest first; at least one."""
    weights = np.array(WEIGHTS)
    scores = (inputs * weights[:, :2]).sum(axis=1) + weights[:, 2]
    order = np.argsort(-shares, kind="stable").tolist()
    tags = tuple(COLOR_NAMES[i] for i in order if scores[i] > 0)
    return tags or (COLOR_NAMES[order[0]],)


@lru_cache(maxsize=64)
def _block_numbers(height: int, width: int) -> tuple[NDArray[np.int32], float]:
    """Return the block that each pixel lies in, `(height * width,)`, and the pixels of a block."""
    y = np.arange(height, dtype=np.int32) * _BLOCKS // height
    x = np.arange(width, dtype=np.int32) * _BLOCKS // width
    numbers = (y[:, None] * _BLOCKS + x[None, :]).reshape(-1)
    return numbers, height * width / _BLOCKS**2


@lru_cache(maxsize=64)
def _middle_weights(height: int, width: int) -> NDArray[np.float64]:
    """Return a weight a pixel, 1 in the middle and less at the edges, `(height * width,)`.

    What a picture is of stands near its middle more often than not.
    """
    y = np.abs(np.linspace(-1, 1, height))[:, None]
    x = np.abs(np.linspace(-1, 1, width))[None, :]
    weights = 1.0 - (1.0 - _EDGE_WEIGHT) * np.maximum(x, y) ** 2
    return weights.reshape(-1)


@lru_cache(maxsize=1)
def _lab_table() -> FloatArray:
    """Return the CIELAB of the middle of each of the 32768 cells, `(32768, 3)`."""
    level = np.arange(_LEVELS) * 8 + 3.5
    red, green, blue = np.meshgrid(level, level, level, indexing="ij")
    return srgb_to_lab(np.stack((red, green, blue), axis=-1).reshape(-1, 3))


@lru_cache(maxsize=1)
def _term_table() -> NDArray[np.uint8]:
    """Return the index into `COLOR_NAMES` of each of the 32768 cells."""
    return name_colours(_lab_table())


@lru_cache(maxsize=1)
def _typical_table() -> FloatArray:
    """Return how plainly each of the 32768 cells is its term, `(32768,)`."""
    return typicality(_lab_table(), _term_table())


@lru_cache(maxsize=1)
def _coarse_lab_table() -> FloatArray:
    """Return the CIELAB of the middle of each of 16 × 16 × 16 cells, `(4096, 3)`."""
    level = np.arange(16) * 16 + 7.5
    red, green, blue = np.meshgrid(level, level, level, indexing="ij")
    return srgb_to_lab(np.stack((red, green, blue), axis=-1).reshape(-1, 3))


def _palette(flat: Pixels, levels: NDArray[np.int32]) -> tuple[PaletteColour, ...]:
    """Cluster the colours by one step of k-means in CIELAB from well-spread seeds.

    Clustering sees cells of 16 levels a channel; the colours reported are the true means.
    """
    coarse = levels >> 1
    codes = (coarse[0] << 8) | (coarse[1] << 4) | coarse[2]
    counts = np.bincount(codes, minlength=_COARSE_CELLS)
    cells = np.flatnonzero(counts)
    points = _coarse_lab_table()[cells]
    mass = counts[cells].astype(np.float32)
    centres = _seeds(points, mass)
    centres = _means(points, mass, _nearest(points, centres), centres)
    label = np.zeros(_COARSE_CELLS, dtype=np.int8)
    label[cells] = _nearest(points, centres)
    return _describe(flat, label[codes], len(centres))


def _seeds(points: FloatArray, mass: FloatArray) -> FloatArray:
    """Pick seeds one by one: heavy, and far from those picked already."""
    squares = np.einsum("ij,ij->i", points, points)

    def distances(index: int) -> FloatArray:
        return squares - 2.0 * (points @ points[index]) + squares[index]

    chosen = [int(mass.argmax())]
    gap = distances(chosen[0])
    root = np.sqrt(mass)
    for _ in range(PALETTE_SIZE - 1):
        best = int((gap * root).argmax())
        if gap[best] < _MERGE_DISTANCE**2:
            break
        chosen.append(best)
        gap = np.minimum(gap, distances(best))
    return points[chosen]


def _nearest(points: FloatArray, centres: FloatArray) -> NDArray[np.intp]:
    """Return the index of the centre nearest to each point, `(n,)`."""
    return (np.einsum("ij,ij->i", centres, centres) - 2.0 * (points @ centres.T)).argmin(axis=1)


def _means(
    points: FloatArray, mass: FloatArray, owner: NDArray[np.intp], centres: FloatArray
) -> FloatArray:
    """Return the weighted mean of each cluster; an empty one keeps its centre."""
    member = (owner == np.arange(len(centres))[:, None]) * mass
    total = member.sum(axis=1, keepdims=True)
    return np.where(total > 0, (member @ points) / np.maximum(total, 1e-9), centres)


def _describe(flat: Pixels, owner: NDArray[np.int8], count: int) -> tuple[PaletteColour, ...]:
    """Turn clusters of pixels into palette entries by their true mean colour."""
    member = (owner == np.arange(count, dtype=np.int8)[:, None]).astype(np.float32)
    total = member.sum(axis=1)
    kept = total >= _MIN_WEIGHT * len(flat)
    means = (member[kept] @ flat.astype(np.float32)) / total[kept][:, None]
    labs = srgb_to_lab(means).tolist()
    shares = (total[kept] / len(flat)).tolist()
    entries = [
        PaletteColour((round(light, 2), round(a, 2), round(b, 2)), round(share, 4))
        for (light, a, b), share in zip(labs, shares, strict=True)
    ]
    return tuple(sorted(entries, key=lambda entry: -entry.weight))
