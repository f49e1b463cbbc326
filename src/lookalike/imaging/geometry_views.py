"""What comparing two pictures needs of each: grey, colours in little, a signature, keypoints.

Keypoints are SIFT's (Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", 2004) with
descriptors as RootSIFT has them (Arandjelović and Zisserman, "Three things everyone should know
to improve object retrieval", 2012), spread over the picture so that a caption laid on it cannot
take all of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.domain.errors import ImageError
from lookalike.imaging.decode import DecodeLimits, decode

if TYPE_CHECKING:
    from lookalike.domain.arrays import Pixels

LONGEST: Final = 320
SHORTEST_LONGEST: Final = 224
"""The longer side of a view: that of the thumbnail, within these bounds."""

SIGNATURE_SIDE: Final = 32
CHROMA_STEP: Final = 4
MOST_KEYPOINTS: Final = 400
MOST_ASPECT: Final = 12.0
_FOUND: Final = 1500
_CELLS: Final = 8
_CONTRAST: Final = 0.015
_FLAT: Final = 2.0
_LIMITS: Final = DecodeLimits(max_bytes=4 << 20, max_pixels=4_000_000, max_memory_bytes=64 << 20)

Grey: TypeAlias = NDArray[np.uint8]
"""`(height, width)` uint8."""


@dataclass(frozen=True, slots=True)
class View:
    """A picture, small enough to be compared often.

    `grey` is `(h, w)` uint8 whose longer side is within the bounds above; `chroma` the blue and
    red differences at a quarter of it, `(h/4, w/4, 2)` uint8; `signature` is `(1024,)` float32,
    the picture squashed to 32×32, without its mean and of unit norm (zeros for a flat picture).
    """

    grey: Grey
    chroma: NDArray[np.uint8]
    signature: NDArray[np.float32]

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to compare."""
        return not self.signature.any()


@dataclass(frozen=True, slots=True)
class Keypoints:
    """`(n, 2)` float32 places in a view's pixels and `(n, 128)` float32 RootSIFT, unit norm."""

    places: NDArray[np.float32]
    descriptors: NDArray[np.float32]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.places)


def read_view(thumbnail: bytes) -> View | None:
    """Return the view of a picture's file; None where it cannot be read or is a mere strip."""
    try:
        picture = decode(thumbnail, limits=_LIMITS)
    except ImageError:
        return None
    return view_of(picture.pixels)


def view_of_pixels(pixels: Pixels) -> View | None:
    """Return the view of `(height, width, 3)` uint8 sRGB pixels; None for a mere strip."""
    return view_of(Image.fromarray(pixels))


def view_of(image: Image.Image) -> View | None:
    """Return the view of an upright RGB picture of any size; None for a mere strip."""
    longest, shortest = max(image.size), min(image.size)
    if shortest < 8 or longest > MOST_ASPECT * shortest:
        return None
    side = min(max(longest, SHORTEST_LONGEST), LONGEST)
    size = (
        max(1, round(image.width * side / longest)),
        max(1, round(image.height * side / longest)),
    )
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    luma, blue, red = image.convert("YCbCr").split()
    little = (max(1, size[0] // CHROMA_STEP), max(1, size[1] // CHROMA_STEP))
    chroma = np.stack(
        [np.asarray(band.resize(little, Image.Resampling.BOX)) for band in (blue, red)], axis=-1
    )
    return View(np.asarray(luma), chroma, _signature(luma))


def _signature(luma: Image.Image) -> NDArray[np.float32]:
    square = luma.resize((SIGNATURE_SIDE, SIGNATURE_SIDE), Image.Resampling.BOX)
    values = np.asarray(square, dtype=np.float32).ravel()
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    if norm < _FLAT * SIGNATURE_SIDE:
        return np.zeros_like(values)
    return values / np.float32(norm)


class KeypointFinder:
    """Finds keypoints; every thread has a detector of its own, since OpenCV's keep state."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._local = threading.local()

    def find(self, view: View) -> Keypoints:
        """Return the keypoints of a view, the same ones every time."""
        cv2 = load_opencv()
        detector = getattr(self._local, "detector", None)
        if detector is None:
            detector = cv2.SIFT_create(nfeatures=_FOUND, contrastThreshold=_CONTRAST)
            self._local.detector = detector
        found = detector.detect(view.grey, None)
        if not found:
            return _no_keypoints()
        kept, described = detector.compute(view.grey, _spread(found, view.grey.shape))
        if described is None or not len(kept):
            return _no_keypoints()
        places = np.array([point.pt for point in kept], dtype=np.float32)
        rooted = np.asarray(described, dtype=np.float32)
        rooted = np.sqrt(rooted / np.maximum(rooted.sum(axis=1, keepdims=True), 1e-6))
        return Keypoints(places, rooted)


def _no_keypoints() -> Keypoints:
    return Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))


def _spread(found: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return the strongest keypoints, those first that are strong within their cell."""
    height, width = shape[:2]
    ordered = sorted(found, key=lambda point: (-point.response, point.pt, point.angle))
    seen: dict[tuple[int, int], int] = {}
    ranked: list[tuple[int, int]] = []
    for number, point in enumerate(ordered):
        cell = int(point.pt[0] * _CELLS / width), int(point.pt[1] * _CELLS / height)
        ranked.append((seen.get(cell, 0), number))
        seen[cell] = seen.get(cell, 0) + 1
    return [ordered[number] for _, number in sorted(ranked)[:MOST_KEYPOINTS]]


def load_opencv() -> Any:
    """Import OpenCV when it is first needed, and keep it to the calling thread.

    Several pairs are compared at once already, and OpenCV's own threads would only crowd them.
    """
    import cv2

    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    return cv2
