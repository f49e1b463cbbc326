"""What the raw outputs of YOLO-like detectors mean: boxes, scores and classes.

Each head turns one picture's output into `Candidates` on the canvas.

- `yolox` (Ge et al., "YOLOX", 2021): a row a cell of the grids of stride 8, 16 and 32, of centre
  x and y relative to the cell, log width and height in strides, objectness, class scores.
- `yolov5`: a row a guess, centre x and y, width, height in pixels, objectness, class scores.
- `yolov8` (also 9, 11 and 12): a column a guess, the same without objectness.
- `yolov10`: a row an object, x1, y1, x2, y2 in pixels, score, class; no two of the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix
    from lookalike.domain.bundle import DetectorHead

_STRIDES: Final = (8, 16, 32)
_LARGEST_LOG: Final = 12.0
_FARTHEST: Final = 1e6
_ONE_A_GUESS: Final = 4
_WITH_OBJECTNESS: Final = 5
_FINISHED: Final = 6


@dataclass(frozen=True, slots=True)
class Candidates:
    """`boxes` `(n, 4)` x1, y1, x2, y2 on the canvas, `scores` and `classes` `(n,)`."""

    boxes: FloatMatrix
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a head has to know: how many labels there are, the canvas, and the lowest score."""

    labels: int
    canvas: tuple[int, int]
    min_score: float


def read_candidates(head: DetectorHead, output: FloatMatrix, asked: Asked) -> Candidates:
    """Read one picture's `(rows, columns)` output.

    Raises:
        BundleError: the output has another shape than this head gives.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = _HEADS[head](output, asked)
    is_sound = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    boxes = np.clip(found.boxes[is_sound], -_FARTHEST, _FARTHEST)
    return Candidates(boxes, found.scores[is_sound], found.classes[is_sound])


def _yolox(output: FloatMatrix, asked: Asked) -> Candidates:
    cells, steps = _grid(asked.canvas)
    _require(output, (len(cells), asked.labels + _WITH_OBJECTNESS), "yolox")
    rows = np.nonzero(output[:, 4] >= asked.min_score)[0]
    kept = output[rows]
    centres = (kept[:, :2] + cells[rows]) * steps[rows]
    sizes = np.exp(np.minimum(kept[:, 2:4], _LARGEST_LOG)) * steps[rows]
    return _pick(_corners(centres, sizes), kept[:, 4:5] * kept[:, 5:], asked)


def _yolov5(output: FloatMatrix, asked: Asked) -> Candidates:
    _require(output, (len(output), asked.labels + _WITH_OBJECTNESS), "yolov5")
    kept = output[output[:, 4] >= asked.min_score]
    return _pick(_corners(kept[:, :2], kept[:, 2:4]), kept[:, 4:5] * kept[:, 5:], asked)


def _yolov8(output: FloatMatrix, asked: Asked) -> Candidates:
    _require(output, (asked.labels + _ONE_A_GUESS, output.shape[1]), "yolov8")
    rows = output.T
    return _pick(_corners(rows[:, :2], rows[:, 2:4]), rows[:, 4:], asked)


def _yolov10(output: FloatMatrix, asked: Asked) -> Candidates:
    _require(output, (len(output), _FINISHED), "yolov10")
    kept = output[output[:, 4] >= asked.min_score]
    classes = kept[:, 5]
    is_known = (classes >= 0) & (classes < asked.labels)
    kept = kept[is_known]
    return Candidates(kept[:, :4], kept[:, 4], kept[:, 5].astype(np.int64))


_HEADS: Final[Mapping[DetectorHead, Callable[[FloatMatrix, Asked], Candidates]]] = {
    "yolox": _yolox,
    "yolov5": _yolov5,
    "yolov8": _yolov8,
    "yolov10": _yolov10,
}


def _require(output: FloatMatrix, shape: tuple[int, int], head: str) -> None:
    if output.shape != shape:
        raise BundleError(
            f"the detector gives an output of shape {output.shape} a picture, "
            f"a {head} head gives {shape} here",
            hint="correct architecture, size or the labels file in its bundle.toml",
        )


def _corners(centres: FloatMatrix, sizes: FloatMatrix) -> FloatMatrix:
    half = sizes * np.float32(0.5)
    return np.asarray(np.concatenate([centres - half, centres + half], axis=1), np.float32)


def _pick(boxes: FloatMatrix, scores: FloatMatrix, asked: Asked) -> Candidates:
    """Take every class of every box that scores enough."""
    rows, classes = np.nonzero(scores >= asked.min_score)
    return Candidates(boxes[rows], scores[rows, classes], classes.astype(np.int64))


@lru_cache(maxsize=64)
def _grid(canvas: tuple[int, int]) -> tuple[FloatMatrix, FloatMatrix]:
    """Return the cells' places `(cells, 2)` x, y and their strides `(cells, 1)`, finest first."""
    height, width = canvas
    cells: list[FloatMatrix] = []
    steps: list[FloatMatrix] = []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
        steps.append(np.full((x.size, 1), stride, np.float32))
    return np.concatenate(cells), np.concatenate(steps)
