"""Tell photographs from clipart and line art by cheap features of the pixels.

A linear model over some measurements, each with a plain meaning, so that a decision
can be explained by the measurements that spoke for it. A painting is called a photograph (its
tones are continuous); a drawing or an etching, and a page of text, line art. Its weights were
fitted by eval/kind/, which also reports how well it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.domain.arrays import Pixels
from lookalike.domain.images import KINDS
from lookalike.imaging.kind_weights import BIAS, MEANS, SCALES, WEIGHTS

FloatArray: TypeAlias = NDArray[np.float64]

FEATURES: Final = (
    "flat",
    "soft",
    "noise",
    "sharp",
    "sharp_of_edges",
    "ground_flat",
    "grey",
    "white",
    "dark",
    "mid_tones",
    "saturated",
    "colours",
    "top_colour",
    "top_colours",
    "coloured_ink",
    "hue_spread",
    "frame_white",
)
"""The names of the measurements, in the order of the weights' columns."""

_PAIRS: Final = 12
_SAMPLE_SIDE: Final = 64
_CELLS: Final = 4096


@dataclass(frozen=True, slots=True)
class Kind:
    """What a picture is, how sure that is in [0, 1], and the measurements behind it."""

    name: str
    confidence: float
    features: tuple[float, ...]

    def explain(self) -> dict[str, float]:
        """Return what each measurement added to this kind's score against the mean kind."""
        means, scales, weights, _ = _model()
        scaled = (inputs(np.array(self.features)) - means) / scales
        added = (weights[KINDS.index(self.name)] - weights.mean(axis=0)) * scaled
        both = added.reshape(2, -1).sum(axis=0)
        return dict(zip(FEATURES, both.round(3).tolist(), strict=True))


def classify(image: Image.Image) -> Kind:
    """Return the kind of an RGB picture (transparent parts on white)."""
    features = measure(image)
    means, scales, weights, bias = _model()
    scores = weights @ ((inputs(features) - means) / scales) + bias
    odds = np.exp(scores - scores.max())
    best = int(odds.argmax())
    confidence = float(odds[best] / odds.sum())
    return Kind(KINDS[best], round(confidence, 4), tuple(features.tolist()))


def inputs(features: FloatArray) -> FloatArray:
    """Return the measurements and their square roots, in which small amounts count, `(..., 34)`."""
    return np.concatenate((features, np.sqrt(features)), axis=-1)


@lru_cache(maxsize=1)
def _model() -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return means, scales `(34,)`, weights `(3, 34)` and bias `(3,)`."""
    return np.array(MEANS), np.array(SCALES), np.array(WEIGHTS), np.array(BIAS)


def measure(image: Image.Image) -> FloatArray:
    """Return the measurements named by `FEATURES`, each roughly in [0, 1], `(17,)`."""
    return np.concatenate((_neighbour_features(image), _colour_features(image)))


def _neighbour_features(image: Image.Image) -> FloatArray:
    """Compare neighbouring pixels on pairs of rows spread over the picture.

    Drawings are flat between sharp edges; photographs have noise and soft slopes nearly
    everywhere.
    """
    rows = _row_pairs(image)
    across = np.abs(rows[:, :, 1:] - rows[:, :, :-1])
    down = np.abs(rows[:, 1] - rows[:, 0])
    steps = np.bincount(across.ravel(), minlength=256) + np.bincount(down.ravel(), minlength=256)
    shares = steps / max(int(steps.sum()), 1)
    flat, noise = shares[:2].sum(), shares[2:7].sum()
    soft, sharp = shares[7:32].sum(), shares[80:].sum()
    edges = max(float(shares[16:].sum()), 1e-4)
    is_flat = across <= 1
    ground = np.count_nonzero(is_flat[:, :, 1:] & is_flat[:, :, :-1]) / max(is_flat.size, 1)
    return np.array((flat, soft, noise, sharp, sharp / edges, ground))


def _row_pairs(image: Image.Image) -> NDArray[np.int16]:
    """Return the green of pairs of neighbouring rows, `(pairs, 2, width)`; one at least.

    Green is nearly the lightness, and comes without any arithmetic.
    """
    array = np.asarray(image.getchannel(1))
    height = array.shape[0]
    count = max(min(_PAIRS, height // 2), 1)
    tops = ((np.arange(count) + 0.5) * (height - 1) / count).astype(np.intp)
    rows = np.minimum(np.stack((tops, tops + 1), axis=1), height - 1)
    return array[rows].astype(np.int16)


def _colour_features(image: Image.Image) -> FloatArray:
    """Look at the colours of single pixels on a grid (never blended ones)."""
    side = (min(_SAMPLE_SIDE, image.width), min(_SAMPLE_SIDE, image.height))
    flat: Pixels = np.asarray(image.resize(side, Image.Resampling.NEAREST)).reshape(-1, 3)
    red, green, blue = np.ascontiguousarray(flat.T)
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    spread = high - low
    total = len(flat)
    frame = _frame(low.reshape(side[1], side[0]))
    codes = ((red >> 4).astype(np.int16) << 8) | (green & 0xF0) | (blue >> 4)
    counts = np.bincount(codes, minlength=_CELLS)
    filled = np.sort(counts[counts > 0])[::-1]
    return np.array(
        (
            np.count_nonzero(spread < 16) / total,
            np.count_nonzero(low > 239) / total,
            np.count_nonzero(high < 48) / total,
            np.count_nonzero((high > 64) & (high < 224)) / total,
            np.count_nonzero(spread > 127) / total,
            np.log2(len(filled)) / 12,
            filled[0] / total,
            filled[:6].sum() / total,
            np.count_nonzero((low < 240) & (spread > 48)) / max(np.count_nonzero(low < 240), 1),
            min((_spread(red, green) + _spread(green, blue)) / 128, 1.0),
            np.count_nonzero(frame > 245) / len(frame),
        )
    )


def _frame(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the outermost samples of a grid; the corners count twice."""
    return np.concatenate((grid[0], grid[-1], grid[:, 0], grid[:, -1]))


def _spread(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the standard deviation of the difference of two channels."""
    return float((one.astype(np.int16) - other).std())
