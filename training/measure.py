"""Measure a bundle as it ships: its files, the product's own encoder and resizing.

    python measure.py lite DATA OUT [--seed 0] [--speed]

DATA is laid out as shared/data/README.md says. Writes OUT/NAME.json. Needs
Lookalike importable.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import datasets
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from lookalike.adapters.bundle_files import load_bundle, require_intact
from lookalike.adapters.encoder_onnx import OnnxEncoder
from lookalike.domain.bundle import Preprocess
from lookalike.imaging.preprocess import to_model_pixels

Matrix = NDArray[np.float32]
DEPTHS = (1, 5, 10)
COPY_QUERIES = 100


def pixels(images: Sequence[Image.Image], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Resize as the product does."""
    return np.stack([to_model_pixels(image, preprocess) for image in images])


def encode(
    encoder: OnnxEncoder, photos: Sequence[datasets.Photo], preprocess: Preprocess
) -> Matrix:
    """Encode photographs from their files."""
    found: list[Matrix] = []
    for start in range(0, len(photos), 64):
        images = [Image.open(photo.path).convert("RGB") for photo in photos[start : start + 64]]
        found.append(encoder.encode_images(pixels(images, preprocess)))
    return np.concatenate(found)


def recalls(scores: Matrix, relevant: NDArray[np.int64]) -> dict[str, float]:
    """Give recall@1/5/10: rows are queries, `relevant` the one right column of each.

    A tie counts half a place against the right one.
    """
    right = scores[np.arange(len(relevant)), relevant][:, None]
    rank = (scores > right).sum(1) + ((scores == right).sum(1) - 1) / 2
    return {f"recall@{depth}": round(float((rank < depth).mean()), 4) for depth in DEPTHS}


def image_to_text(scores: Matrix, caption_of: NDArray[np.int64]) -> dict[str, float]:
    """Give recall@1/5/10 of captions, the best placed of a picture's own counting."""
    best = np.full(scores.shape[1], np.iinfo(np.int64).max)
    for caption, photo in enumerate(caption_of):
        rank = int((scores[:, photo] > scores[caption, photo]).sum())
        best[photo] = min(best[photo], rank)
    return {f"recall@{depth}": round(float((best < depth).mean()), 4) for depth in DEPTHS}


def average_precision(scores: Matrix, relevant: NDArray[np.bool_]) -> float:
    """Give the mean precision at the places of the relevant, best first."""
    ordered = relevant[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    return float(precision[ordered].mean())


def captions(
    encoder: OnnxEncoder, images: Matrix, photos: Sequence[datasets.Photo]
) -> dict[str, object]:
    """Measure both ways between pictures and their captions."""
    with_captions = [index for index, photo in enumerate(photos) if photo.captions]
    chosen = [photos[index] for index in with_captions]
    relevant = datasets.targets(chosen)
    texts = encoder.encode_texts([text for photo in chosen for text in photo.captions])
    scores = texts @ images[with_captions].T
    return {
        "images": len(chosen),
        "captions": len(relevant),
        "text_to_image": recalls(scores, relevant),
        "image_to_text": image_to_text(scores, relevant),
        "text_to_image_among_all": recalls(
            texts @ images.T, np.asarray(with_captions, np.int64)[relevant]
        ),
        "images_among_all": len(photos),
    }


def class_words(
    encoder: OnnxEncoder, images: Matrix, photos: Sequence[datasets.Photo]
) -> dict[str, object]:
    """Measure one-label queries over the completely annotated pictures (mAP)."""
    rows = [index for index, photo in enumerate(photos) if photo.is_annotated]
    labels = sorted({label for index in rows for label in photos[index].labels})
    scores = encoder.encode_texts(labels) @ images[rows].T
    relevant = np.array([[label in photos[row].labels for row in rows] for label in labels])
    values = [average_precision(*pair) for pair in zip(scores, relevant, strict=True)]
    return {"images": len(rows), "labels": len(labels), "map": round(float(np.mean(values)), 4)}


def _saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _crop(image: Image.Image, kept: float) -> Image.Image:
    cut = (1 - kept) / 2
    box = (image.width * cut, image.height * cut, image.width * (1 - cut), image.height * (1 - cut))
    return image.crop(tuple(round(side) for side in box))  # type: ignore[arg-type]


def _labelled(image: Image.Image) -> Image.Image:
    changed = image.copy()
    edge = image.height * 3 // 4
    ImageDraw.Draw(changed).rectangle((0, edge, image.width, image.height), fill="white")
    return changed


def _hue(image: Image.Image) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    turned = hue.point(lambda level: (level + 20) % 256)
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg_20": lambda image: _saved(image, 20),
    "resize_64": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
    "crop_80": lambda image: _crop(image, 0.8),
    "border_10": lambda image: ImageOps.expand(image, image.width // 10, "black"),
    "overlay_quarter": _labelled,
    "hue_28_degrees": _hue,
    "grey": lambda image: image.convert("L").convert("RGB"),
    "mirror": ImageOps.mirror,
    "rotate_5": lambda image: image.rotate(5, Image.Resampling.BICUBIC, expand=True),
}


def copies(
    encoder: OnnxEncoder, photos: Sequence[datasets.Photo], gallery: Matrix
) -> dict[str, float]:
    """Give recall@1 of the original for edited copies of the gallery's first photographs."""
    originals = [Image.open(photo.path).convert("RGB") for photo in photos[:COPY_QUERIES]]
    found: dict[str, float] = {}
    for name, edit in EDITS.items():
        edited = [edit(image) for image in originals]
        vectors = encoder.encode_images(pixels(edited, encoder.preprocess))
        nearest = (vectors @ gallery.T).argmax(1)
        found[name] = round(float((nearest == np.arange(len(nearest))).mean()), 4)
    return found


def quality(data: Path, encoder: OnnxEncoder) -> dict[str, object]:
    """Measure everything but speed."""
    flickr = datasets.flickr8k(data / "flickr8k", train=False)
    coco, named = datasets.coco(data / "coco"), datasets.imagenet_sample(data / "imagenet-sample")
    preprocess = encoder.preprocess
    flickr_images = encode(encoder, flickr, preprocess)
    coco_images = encode(encoder, coco, preprocess)
    cropped = encode(encoder, coco, replace(preprocess, resize="shortest_edge_center_crop"))
    named_images = encode(encoder, named, preprocess)
    named_scores = encoder.encode_texts([photo.labels[0] for photo in named]) @ named_images.T
    gallery = np.concatenate([flickr_images, coco_images, named_images])
    return {
        "flickr8k_dev": captions(encoder, flickr_images, flickr),
        "coco_captions": captions(encoder, coco_images, coco),
        "coco_captions_centre_crop": captions(encoder, cropped, coco),
        "coco_class_words": class_words(encoder, coco_images, coco),
        "coco_class_words_centre_crop": class_words(encoder, cropped, coco),
        "imagenet_name_to_photo": {
            "images": len(named),
            **recalls(named_scores, np.arange(len(named))),
        },
        "copies": {
            "queries": COPY_QUERIES,
            "gallery": len(gallery),
            "recall@1": copies(encoder, flickr, gallery),
        },
    }


def summary(found: dict[str, object]) -> dict[str, float]:
    """Pick the figures that bundle.toml states."""
    table = json.loads(json.dumps(found))
    picked: dict[str, float] = {}
    for key in ("flickr8k_dev", "coco_captions"):
        for way in ("text_to_image", "image_to_text"):
            for depth in DEPTHS:
                picked[f"{key}.{way}.recall@{depth}"] = table[key][way][f"recall@{depth}"]
    picked["coco_class_words.map"] = table["coco_class_words"]["map"]
    for depth in DEPTHS:
        at = f"recall@{depth}"
        picked[f"imagenet_name_to_photo.{at}"] = table["imagenet_name_to_photo"][at]
    return picked


def speed(name: str, data: Path) -> dict[str, float]:
    """Time loading and encoding; the best of five runs, to leave out other work."""
    photos = datasets.coco(data / "coco")[:32]
    images = [Image.open(photo.path).convert("RGB") for photo in photos]
    found: dict[str, float] = {}
    for threads in (1, 2):
        encoder = OnnxEncoder(load_bundle(name), threads=threads)
        batch = pixels(images, encoder.preprocess)
        start = time.perf_counter()
        encoder.encode_images(batch[:1])
        found[f"image_load_and_first_ms_{threads}_threads"] = _ms(start)
        start = time.perf_counter()
        encoder.encode_texts(["a dog on the beach"])
        found[f"text_load_and_first_ms_{threads}_threads"] = _ms(start)
        runs: list[tuple[float, float, float]] = []
        for _ in range(5):
            start, busy = time.perf_counter(), time.process_time()
            encoder.encode_images(batch)
            wall, cpu = _ms(start) / len(batch), (time.process_time() - busy) * 1e3 / len(batch)
            start = time.perf_counter()
            encoder.encode_texts(["two children play football in a park"])
            runs.append((wall, cpu, _ms(start)))
        best = np.min(runs, axis=0)
        for key, value in zip(("image_wall_ms", "image_cpu_ms", "text_ms"), best, strict=True):
            found[f"{key}_{threads}_threads"] = round(float(value), 2)
    return found


def _ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1e3, 1)


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} × {models[0]}" if models else platform.processor()


def main() -> None:
    """Measure one bundle and write its JSON."""
    parser = argparse.ArgumentParser(description="Measure a bundle as it ships.")
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("--seed", type=int, default=0, help="the heads' seed, to be written down")
    parser.add_argument("--speed", action="store_true", help="time it too, and only then")
    given = parser.parse_args()
    bundle = load_bundle(given.bundle)
    require_intact(bundle)
    encoder = OnnxEncoder(bundle, threads=2)
    path = given.out / f"{given.name or bundle.name}.json"
    report = json.loads(path.read_text()) if path.is_file() else {}
    report |= {
        "bundle": bundle.name,
        "version": bundle.version,
        "fingerprint": bundle.fingerprint,
        "dim": bundle.dim,
        "seed": given.seed,
    }
    if given.speed:
        busy = round(os.getloadavg()[0], 1)
        about = {"machine": _machine(), "load_before": busy, "batch": 32}
        report["speed"] = {**about, **speed(given.bundle, given.data)}
    else:
        report["measured"] = quality(given.data, encoder)
        report["quality"] = summary(report["measured"])
    given.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report.get("quality" if not given.speed else "speed"), indent=2))


if __name__ == "__main__":
    main()
