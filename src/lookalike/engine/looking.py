"""What models see in decoded pictures: objects, a vector for each telling one, and words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from lookalike.domain.errors import OcrError
from lookalike.domain.regions import region_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lookalike.domain.arrays import FloatMatrix, Pixels
    from lookalike.domain.images import DetectedObject, OcrWord
    from lookalike.ports.detector import Detector
    from lookalike.ports.encoder import Encoder
    from lookalike.ports.ocr import Ocr
    from lookalike.telemetry.stages import StageTimer

ENCODER_BATCH: Final = 256
CANVAS_SIDE: Final = 640
"""The longer side of the version that objects are found in and cut out of."""


@dataclass(frozen=True, slots=True)
class View:
    """The versions of one picture that models look at.

    `pixels` are the encoder's, `canvas` is for objects, `page` for words (None where the gate
    saw no text); a ready `vector` takes the place of the pixels.
    """

    pixels: Pixels | None = field(default=None, repr=False)
    canvas: Pixels | None = field(default=None, repr=False)
    page: Pixels | None = field(default=None, repr=False)
    is_gated: bool = False
    vector: FloatMatrix | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in one picture.

    `numbers` are the objects whose crops have a vector, `(n, dim)` in `regions`. `models` names
    what looked: where a model did not look, its field says nothing of the picture. `unread` says
    why its text could not be read.
    """

    vector: FloatMatrix | None = field(default=None, repr=False)
    objects: tuple[DetectedObject, ...] = ()
    words: tuple[OcrWord, ...] = ()
    numbers: tuple[int, ...] = ()
    regions: FloatMatrix | None = field(default=None, repr=False)
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Looker:
    """Runs the models over batches of pictures; what is None is left out."""

    encoder: Encoder | None
    detector: Detector | None = None
    ocr: Ocr | None = None

    def look(self, views: Sequence[View], stages: StageTimer) -> Sequence[Seen]:
        """Return what is seen in each picture; `stages` gathers what each model took."""
        vectors = self._vectors(views, stages)
        objects = self._objects(views, stages)
        numbers = [region_numbers(found) if found else () for found in objects]
        regions = self._regions(views, objects, numbers, stages)
        read = [self._words(view, stages) for view in views]
        return [
            Seen(
                vector=vectors[at],
                objects=objects[at] or (),
                words=read[at][0] or (),
                numbers=numbers[at],
                regions=regions[at],
                models=self._models(objects[at], read[at][0]),
                unread=read[at][1],
            )
            for at in range(len(views))
        ]

    def _models(
        self, objects: Sequence[DetectedObject] | None, words: Sequence[OcrWord] | None
    ) -> dict[str, str]:
        models: dict[str, str] = {}
        if objects is not None and self.detector is not None:
            models["objects"] = self.detector.fingerprint
        if words is not None and self.ocr is not None:
            models["words"] = self.ocr.fingerprint
        return models

    def _vectors(self, views: Sequence[View], stages: StageTimer) -> list[FloatMatrix | None]:
        wanting = [at for at, view in enumerate(views) if _wants_vector(view)]
        found: list[FloatMatrix | None] = [view.vector for view in views]
        if wanting and self.encoder is not None:
            with stages.stage("encode", items=len(wanting)):
                encoded = self.encoder.encode_images(
                    np.stack([_given(views[at].pixels) for at in wanting])
                )
            for at, vector in zip(wanting, encoded, strict=True):
                found[at] = vector
        return found

    def _objects(
        self, views: Sequence[View], stages: StageTimer
    ) -> list[tuple[DetectedObject, ...] | None]:
        """Return the objects of each picture, None where nobody looked."""
        found: list[tuple[DetectedObject, ...] | None] = [None] * len(views)
        wanting = [at for at, view in enumerate(views) if view.canvas is not None]
        if self.detector is None or not wanting:
            return found
        with stages.stage("detect", items=len(wanting)):
            answers = self.detector.detect([_given(views[at].canvas) for at in wanting])
        for at, objects in zip(wanting, answers, strict=True):
            # As the catalog keeps them, so that the same objects are telling ever after.
            found[at] = tuple(
                replace(one, score=round(one.score, 4), box=_rounded(one.box)) for one in objects
            )
        return found

    def _regions(
        self,
        views: Sequence[View],
        objects: Sequence[tuple[DetectedObject, ...] | None],
        numbers: Sequence[tuple[int, ...]],
        stages: StageTimer,
    ) -> list[FloatMatrix | None]:
        """Return the vectors of the telling objects of each picture, made in large batches."""
        found: list[FloatMatrix | None] = [None] * len(views)
        wanting = [at for at in range(len(views)) if numbers[at]]
        if self.encoder is None or not wanting:
            return found
        from lookalike.imaging.crops import crop_boxes

        with stages.stage("regions", items=sum(len(numbers[at]) for at in wanting)):
            crops = [
                crop_boxes(
                    _given(views[at].canvas),
                    [(objects[at] or ())[number].box for number in numbers[at]],
                    self.encoder.preprocess,
                )
                for at in wanting
            ]
            pixels = np.concatenate(crops)
            vectors = np.concatenate(
                [
                    self.encoder.encode_images(pixels[begin : begin + ENCODER_BATCH])
                    for begin in range(0, len(pixels), ENCODER_BATCH)
                ]
            )
        ends = np.cumsum([len(numbers[at]) for at in wanting])[:-1]
        for at, part in zip(wanting, np.split(vectors, ends), strict=True):
            found[at] = part
        return found

    def _words(self, view: View, stages: StageTimer) -> tuple[tuple[OcrWord, ...] | None, str]:
        """Read one picture; None where nobody looked, or with why reading failed."""
        if self.ocr is None or not view.is_gated:
            return None, ""
        if view.page is None:  # the gate saw no text
            return (), ""
        try:
            with stages.stage("ocr", items=1):
                return self.ocr.read(view.page), ""
        except OcrError as error:
            return None, f"{error.message}. {error.hint}".strip(". ")


def _rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x, y, width, height = (round(value, 4) for value in box)
    return (x, y, width, height)


def _wants_vector(view: View) -> bool:
    return view.vector is None and view.pixels is not None


def _given(pixels: Pixels | None) -> Pixels:
    if pixels is None:
        raise ValueError("a picture without pixels cannot be looked at")
    return pixels
