"""Photographs, what is in them, and their vectors by the packaged encoder.

    python eval/composition/material.py --data DATA --out CACHE.npz

DATA holds `flickr8k` (its dev split is taken), `coco` and `imagenet-sample`. A thing is known of a
photograph of COCO by its annotated boxes, of one of Flickr8k by its five captions: it is there
where two captions or more name it, absent where none does, and unknown where one does.
"""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.adapters.bundle_files import load_bundle
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.evaluation.datasets import load_dataset
from lookalike.imaging.crops import crop_boxes
from lookalike.imaging.examine import load_query_pixels

BATCH = 32
MOST_BOXES = 3
LEAST_BOX = 0.03
THINGS = {
    "dog": "dogs puppy", "child": "children kid kids boy boys girl girls toddler baby",
    "man": "men guy", "woman": "women lady", "grass": "grassy lawn", "snow": "snowy",
    "water": "", "beach": "shore", "ball": "balls", "bike": "bicycle bikes bicycles",
    "tree": "trees", "rock": "rocks boulder cliff", "mountain": "mountains mountainside hill",
    "street": "road sidewalk", "sand": "sandy", "pool": "", "car": "cars truck",
    "horse": "horses", "crowd": "audience", "hat": "hats cap", "swing": "swings swinging",
    "stick": "branch", "field": "", "ocean": "sea waves wave", "skateboard": "skateboarder",
    "football": "", "soccer": "", "basketball": "", "motorcycle": "motorbike", "bench": "",
    "building": "buildings house", "wall": "", "fence": "", "toy": "toys", "camera": "",
    "jumping": "jumps leaps jump", "running": "runs run", "sitting": "sits", "swimming": "swims",
    "climbing": "climbs climber", "red": "", "blue": "", "black": "", "white": "",
    "yellow": "", "green": "", "pink": "", "orange": "", "night": "dark", "river": "stream lake",
}  # fmt: skip


@dataclass(frozen=True)
class Photographs:
    """Vectors `(n, dim)`, and by thing what is known: 1 there, 0 absent, -1 unknown.

    `queries` are texts by their kind; `boxes` names the photograph and label of each crop.
    """

    name: str
    vectors: np.ndarray
    things: dict[str, np.ndarray]
    captions: list[list[str]]
    labels: list[str]
    crops: np.ndarray
    boxes: list[tuple[int, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="lite")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    encoder = OnnxEncoder(load_bundle(options.encoder), threads=2)
    arrays = {}
    about = {}
    for name, split in (("flickr8k", "dev"), ("coco", None), ("imagenet-sample", None)):
        images = load_dataset(options.data / name, split=split).images
        arrays[f"{name}/vectors"] = encode(encoder, [one.path for one in images])
        crops, boxes = cut(encoder, images)
        arrays[f"{name}/crops"] = crops
        about[name] = {
            "captions": [list(one.captions) for one in images],
            "labels": [one.label for one in images],
            "boxes": boxes,
            "things": {thing: known.tolist() for thing, known in known_things(images).items()},
        }
    texts = sorted(texts_of(about))
    arrays["texts"] = np.concatenate(
        [encoder.encode_texts(texts[at : at + 256]) for at in range(0, len(texts), 256)]
    )
    about["words"] = texts
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez(options.out, **arrays)


def load(path: Path) -> tuple[dict[str, Photographs], dict[str, np.ndarray]]:
    """Return the photographs by dataset, and the vectors of texts by text."""
    with np.load(path) as arrays:
        about = json.loads(arrays["about"].tobytes())
        texts = dict(zip(about["words"], arrays["texts"], strict=True))
        found = {
            name: Photographs(
                name, arrays[f"{name}/vectors"],
                {thing: np.array(known) for thing, known in of["things"].items()},
                of["captions"], of["labels"], arrays[f"{name}/crops"],
                [tuple(box) for box in of["boxes"]],
            )
            for name, of in about.items() if name != "words"
        }  # fmt: skip
    return found, texts


def encode(encoder, paths) -> np.ndarray:
    """Return `(n, dim)` vectors of picture files."""
    parts = []
    for at in range(0, len(paths), BATCH):
        pixels = [
            load_query_pixels(path.read_bytes(), preprocess=encoder.preprocess, region=None)
            for path in paths[at : at + BATCH]
        ]
        parts.append(encoder.encode_images(np.stack(pixels)))
    return np.concatenate(parts)


def cut(encoder, images):
    """Return vectors of the largest annotated boxes, and the number and label of each."""
    vectors, boxes = [], []
    for number, image in enumerate(images):
        if not image.is_fully_annotated:
            continue
        largest = sorted(image.boxes, key=lambda one: -one.box[2] * one.box[3])
        chosen = [one for one in largest if one.box[2] * one.box[3] >= LEAST_BOX][:MOST_BOXES]
        if chosen:
            pixels = np.asarray(Image.open(image.path).convert("RGB"))
            crops = crop_boxes(pixels, [one.box for one in chosen], encoder.preprocess)
            vectors.append(encoder.encode_images(crops))
            boxes += [(number, one.label) for one in chosen]
    return (np.concatenate(vectors) if vectors else np.empty((0, encoder.dim), np.float32)), boxes


def known_things(images) -> dict[str, np.ndarray]:
    """Return what is known of each thing in each photograph."""
    if any(one.is_fully_annotated for one in images):
        labels = sorted({label for one in images for label in one.labels})
        return {
            label: np.array([
                int(label in one.labels) if one.is_fully_annotated or label in one.labels else -1
                for one in images
            ])
            for label in labels
        }  # fmt: skip
    if not any(one.captions for one in images):
        return {}
    words = [[set(re.findall(r"[a-z]+", text.lower())) for text in one.captions] for one in images]
    return {
        thing: np.array([stated({thing, *forms.split()}, said) for said in words])
        for thing, forms in THINGS.items()
    }


def stated(forms: set[str], captions: list[set[str]]) -> int:
    count = sum(bool(forms & words) for words in captions)
    return 1 if count >= 2 else (0 if not count else -1)


def texts_of(about) -> set[str]:
    """Return every text that the studies ask."""
    things = {thing for of in about.values() for thing in of["things"]}
    texts = things | {label for of in about.values() for label in of["labels"] if label}
    return texts | {text for of in about.values() for each in of["captions"] for text in each[:2]}


if __name__ == "__main__":
    main()
