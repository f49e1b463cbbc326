"""A toy detector and reader: what they see of a toy picture follows from its colour."""

from __future__ import annotations

import numpy as np

from lookalike.domain.images import DetectedObject, OcrWord
from tests.toy import COLOURS

SEEN = {"red": ("cat",), "blue": ("dog", "dog"), "green": ("dog", "car"), "yellow": ("bird",)}
"""The objects in a picture of each colour; others hold none."""

SIGNS = {"yellow": ("NO", "PARKING"), "black": ("EXIT",)}
"""The words in a picture of each colour."""


def colour_of(picture):
    """Return the name of the colour that a picture mostly has."""
    mean = picture.reshape(-1, 3).mean(axis=0)
    return min(COLOURS, key=lambda name: np.abs(mean - COLOURS[name]).sum())


class ToyDetector:
    """Implements `ports.detector.Detector`: each object has a quarter of the picture."""

    labels = ("bird", "car", "cat", "dog")
    side = 64

    def __init__(self, seen=SEEN, *, version="1"):
        self.seen = seen
        self.fingerprint = f"toy-detector-{version}"

    def detect(self, pictures):
        return [
            tuple(
                DetectedObject(label, 0.9 - at / 10, (0.5 * (at % 2), 0.5 * (at // 2), 0.5, 0.5))
                for at, label in enumerate(self.seen.get(colour_of(picture), ()))
            )
            for picture in pictures
        ]


class ToyOcr:
    """Implements `ports.ocr.Ocr`."""

    fingerprint = "toy-ocr"
    side = 64

    def read(self, picture):
        words = SIGNS.get(colour_of(picture), ())
        return tuple(
            OcrWord(text, 0.9, (0.1 + 0.4 * at, 0.1, 0.3, 0.1)) for at, text in enumerate(words)
        )
