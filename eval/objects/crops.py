"""Measure how much margin an object's crop should have for the encoder to know the thing.

    python eval/objects/crops.py --data DATA [--boxes 300]

Boxes are the annotators', of a size that gets a region vector. The encoder names each crop with
the nearest of the 80 label words; the share of right names is reported for both halves of the
photographs. The margin was chosen on the even half.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from photographs import Photograph, halves, photographs

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.detector_onnx import OnnxDetector
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.regions import LEAST_SHARE, MOST_SHARE
from lookalike.evaluation.reports import Table, describe_machine, render_text
from lookalike.imaging.crops import MARGIN, crop_boxes
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
SEED = 0
MARGINS = (0.0, 0.05, 0.1, 0.2)
SHAPES = {"the box": False, "widened to a square": True}


def sample(photos: Sequence[Photograph], chosen: Sequence[int], count: int):
    """Choose boxes at random, at most three of one label of a photograph, crowds aside."""
    boxes = []
    for n in chosen:
        taken: dict[str, int] = {}
        for label, box in photos[n].objects:
            taken[label] = taken.get(label, 0) + 1
            if taken[label] <= 3 and LEAST_SHARE <= box[2] * box[3] <= MOST_SHARE:
                boxes.append((n, label, box))
    random.Random(SEED).shuffle(boxes)
    return boxes[:count]


def accuracy(photos, boxes, encoder: OnnxEncoder, words: np.ndarray, labels, **how) -> list[float]:
    """Shares of crops whose own label is the nearest word, and among the nearest five."""
    crops = [crop_boxes(photos[n].pixels, [box], encoder.preprocess, **how)
             for n, _, box in boxes]  # fmt: skip
    order = np.argsort(-(encoder.encode_images(np.concatenate(crops)) @ words.T), axis=1)
    own = np.array([labels.index(label) for _, label, _ in boxes])
    return [float((order[:, :top] == own[:, None]).any(axis=1).mean()) for top in (1, 5)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="lite")
    parser.add_argument("--boxes", type=int, default=300, help="of each half")
    parser.add_argument("--out", type=Path, default=HERE / "crops.json")
    options = parser.parse_args()
    photos = photographs(options.data / "coco")
    groups = halves(photos)
    encoder = OnnxEncoder(load_bundle(options.encoder), threads=1)
    labels = OnnxDetector(load_bundle("yolox-nano")).labels
    words = encoder.encode_texts(labels)
    boxes = {half: sample(photos, groups[half], options.boxes) for half in ("even", "odd")}
    rows = []
    for shape, is_squared in SHAPES.items():
        for margin in MARGINS:
            cells = [
                share
                for half in ("even", "odd")
                for share in accuracy(
                    photos,
                    boxes[half],
                    encoder,
                    words,
                    labels,
                    is_squared=is_squared,
                    margin=margin,
                )
            ]
            rows.append((shape, margin, *cells))
    best = max(rows, key=lambda row: row[2])
    (ships,) = (row for row in rows if row[:2] == ("widened to a square", MARGIN))
    table = Table(("shape", "margin", "even @1", "even @5", "odd @1", "odd @5"), rows)
    result = {
        "what": "zero-shot names of annotated objects' crops, by margin on each side",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit_of(),
        "seed": SEED,
        "machine": asdict(describe_machine()),
        "encoder": options.encoder,
        "boxes": {half: len(found) for half, found in boxes.items()},
        "margins": asdict(table),
        "shipped_margin": MARGIN,
        "best_on_even": best[:2],
        "odd_at_1": ships[4],
        "odd_at_5": ships[5],
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(render_text(table))


if __name__ == "__main__":
    main()
