"""The annotated photographs that detectors are measured on, and the measures."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.domain.images import DetectedObject

ROOT = Path(__file__).resolve().parents[2]
Found = Sequence[tuple[DetectedObject, ...]]


@dataclass(frozen=True, slots=True)
class Photograph:
    """Pixels, and every object in them as (label, box in fractions)."""

    pixels: np.ndarray
    objects: tuple[tuple[str, tuple[float, float, float, float]], ...]
    split: str
    number: int

    @property
    def counts(self) -> Counter[str]:
        return Counter(label for label, _ in self.objects)


def photographs(folder: Path) -> list[Photograph]:
    """Read the photographs that are annotated whole: elsewhere, absence means nothing."""
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    found = []
    for row in rows:
        if row.get("boxes_from"):
            pixels = np.asarray(Image.open(folder / row["file"]).convert("RGB"))
            objects = tuple((box["label"], tuple(box["box"])) for box in row["boxes"])
            found.append(Photograph(pixels, objects, row["split"], len(found)))
    return found


def halves(photos: Sequence[Photograph]) -> dict[str, list[int]]:
    """Name groups of photographs. Choices are made on the even ones alone."""
    every = range(len(photos))
    return {
        "even": [n for n in every if n % 2 == 0],
        "odd": [n for n in every if n % 2 == 1],
        "all": list(every),
        "val2017": [n for n in every if photos[n].split == "val2017"],
        "train2017": [n for n in every if photos[n].split == "train2017"],
        "odd val2017": [n for n in every if n % 2 == 1 and photos[n].split == "val2017"],
    }


def mean_precision(
    photos: Sequence[Photograph], found: Found, labels: Sequence[str], chosen: Sequence[int]
) -> dict[str, float]:
    """COCO's mAP over the labels that occur, by faster-coco-eval: at 0.5 and over 0.5 to 0.95."""
    from faster_coco_eval import COCO, COCOeval_faster

    number = {label: at for at, label in enumerate(labels)}

    def pixels(n: int, box: Sequence[float]) -> list[float]:
        height, width = photos[n].pixels.shape[:2]
        return [box[0] * width, box[1] * height, box[2] * width, box[3] * height]

    truth = [
        {"image_id": n, "category_id": number[label], "bbox": pixels(n, box), "iscrowd": 0}
        for n in chosen
        for label, box in photos[n].objects
    ]
    for at, one in enumerate(truth):
        one |= {"id": at + 1, "area": one["bbox"][2] * one["bbox"][3]}
    guesses = [
        {"image_id": n, "category_id": number[one.label], "bbox": pixels(n, one.box),
         "score": one.score}
        for n in chosen
        for one in found[n]
    ]  # fmt: skip
    images = [
        {"id": n, "height": photos[n].pixels.shape[0], "width": photos[n].pixels.shape[1]}
        for n in chosen
    ]
    categories = [{"id": at, "name": label} for label, at in number.items()]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO({"info": {}, "images": images, "categories": categories, "annotations": truth})
        judge = COCOeval_faster(coco, coco.loadRes(guesses), "bbox", print_function=lambda *_: None)
        judge.run()
    return {"map_50": round(float(judge.stats[1]), 4), "map_50_95": round(float(judge.stats[0]), 4)}


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers of yes-or-no questions: right, wrong, and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    def rates(self) -> dict[str, float | int | None]:
        """Precision and recall; None where nothing was answered or there was nothing to find."""
        said, there = self.right + self.wrong, self.right + self.missed
        precision = round(self.right / said, 4) if said else None
        recall = round(self.right / there, 4) if there else None
        both = 2 * self.right + self.wrong + self.missed
        f1 = round(2 * self.right / both, 4) if both else None
        return {"precision": precision, "recall": recall, "f1": f1, "there": there}


def ask(
    photos: Sequence[Photograph], found: Found, chosen: Sequence[int], label: str, **how: float
) -> Tally:
    """Ask every photograph for `least` objects of a label that score `min_score` or more."""
    least, min_score = int(how.get("least", 1)), how.get("min_score", 0.0)
    right = wrong = missed = 0
    for n in chosen:
        is_there = photos[n].counts[label] >= least
        seen = sum(one.label == label and one.score >= min_score for one in found[n])
        right += is_there and seen >= least
        wrong += not is_there and seen >= least
        missed += is_there and seen < least
    return Tally(right, wrong, missed)


def ask_all(
    photos: Sequence[Photograph],
    found: Found,
    chosen: Sequence[int],
    labels: Sequence[str],
    **how: float,
) -> Tally:
    """Add up the answers over all labels."""
    return sum((ask(photos, found, chosen, label, **how) for label in labels), Tally())
