"""The models that look at pictures beside the encoder, as an index's features name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lookalike.ports.detector import Detector
    from lookalike.ports.ocr import Ocr
    from lookalike.settings.features import Features

DETECTOR_BUNDLE: Final = "yolox-nano"


def make_detector(features: Features, *, threads: int) -> Detector | None:
    """Return the packaged detector, which loads with its first picture, or None."""
    if not features.objects:
        return None
    from lookalike.adapters.bundle_files import load_bundle
    from lookalike.adapters.detector_onnx import OnnxDetector

    return OnnxDetector(load_bundle(DETECTOR_BUNDLE), threads=threads)


def make_ocr(features: Features, *, threads: int) -> Ocr | None:
    """Return the reader of words, which loads with its first picture, or None.

    Raises:
        OcrError: no engine reads all the languages.
        MissingExtraError: the engine is not installed.
    """
    if features.ocr == "off":
        return None
    from lookalike.adapters.ocr_open import open_ocr

    return open_ocr(features.ocr, languages=features.languages, threads=threads)
