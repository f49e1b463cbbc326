"""The port for finding objects in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lookalike.domain.arrays import Pixels
from lookalike.domain.images import DetectedObject


class Detector(Protocol):
    """Labels with scores and boxes for pictures of any size.

    Promises (tests/contract/test_detector.py): answers come in the order given; objects fall in
    score, ties by label and box; boxes lie inside the picture; the same picture alone or in a
    batch gives the same objects up to rounding; arguments are never changed; calls from several
    threads are safe; nothing is loaded before the first call.
    """

    @property
    def fingerprint(self) -> str:
        """What tells this detector's answers from another's."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Every label it can give."""
        ...

    @property
    def side(self) -> int:
        """The longer side beyond which a larger picture shows it nothing more, in pixels."""
        ...

    def detect(self, pictures: Sequence[Pixels]) -> Sequence[tuple[DetectedObject, ...]]:
        """Find objects in n upright `(height, width, 3)` uint8 RGB pictures of any sizes.

        Raises:
            BundleError: a file of the model is missing or cannot be run.
            ValueError: a picture has another shape or type.
        """
        ...
