"""Leave of several boxes around one thing only the surest (non-maximum suppression)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.adapters.detector_heads import Candidates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookalike.domain.arrays import FloatMatrix

MOST_CANDIDATES: Final = 1000
"""Boxes that are compared with each other: the time grows with the square of their number."""


def drop_overlapping(found: Candidates, *, nms_iou: float) -> Candidates:
    """Return what is left, the surest first; boxes of different classes leave each other alone."""
    order = np.argsort(-found.scores, kind="stable")[:MOST_CANDIDATES]
    boxes, classes = found.boxes[order], found.classes[order]
    overlaps = (_ious(boxes) > nms_iou) & (classes[:, None] == classes[None, :])
    is_kept = np.ones(len(order), np.bool_)
    for at in range(len(order)):
        if is_kept[at]:
            is_kept[at + 1 :] &= ~overlaps[at, at + 1 :]
    kept = order[is_kept]
    return Candidates(found.boxes[kept], found.scores[kept], found.classes[kept])


def _ious(boxes: FloatMatrix) -> NDArray[np.float32]:
    """Return `(n, n)` intersections over unions; 0 where a box has no area."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    unions = areas[:, None] + areas[None, :] - shared
    return np.divide(shared, unions, out=np.zeros_like(shared), where=unions > 0)
