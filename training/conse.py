"""ConSE: class probabilities times the vectors of the class names (Norouzi et al. 2013).

Nothing is learned here, so this space knows ImageNet's thousand things and
carries no data but the towers'. Both sides are moved part of the way towards
the origin of their own cloud, which takes out what all texts share.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

TEMPERATURE = 2.0
TOP = 100
CENTRING = 0.7
WAYS = 4


@dataclass(frozen=True, slots=True)
class Conse:
    """Class vectors `(1000, 384)` and what to take from a text's vector, `(384,)`."""

    classes: Matrix
    text_origin: Matrix

    def images(self, logits: Matrix) -> Matrix:
        """Give `(n, 384)`, unit norm, from logits `(n, 1000)`."""
        raised = np.exp((logits - logits.max(1, keepdims=True)) / TEMPERATURE)
        floor = np.partition(raised, -TOP, axis=1)[:, -TOP, None]
        return unit(np.where(raised >= floor, raised, 0) @ self.classes)

    def texts(self, vectors: Matrix) -> Matrix:
        """Give `(n, 384)`, unit norm, from MiniLM vectors `(n, 384)`."""
        return unit(vectors - self.text_origin)


def unit(rows: Matrix) -> Matrix:
    """Scale rows to unit L2 norm."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def from_cache(cache: Path) -> Conse:
    """Make the space from the cached vectors of class names and COCO captions."""
    ways = [
        unit(np.load(cache / f"text-classes-{index}.npy").astype(np.float32))
        for index in range(WAYS)
    ]
    classes = unit(np.sum(ways, axis=0))
    origin = np.load(cache / "text-coco.npy").astype(np.float32).mean(0)
    return Conse(classes - CENTRING * classes.mean(0), CENTRING * origin)
