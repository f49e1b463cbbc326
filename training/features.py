"""Run the towers over the training data and keep what comes out on disk.

    python features.py TOWERS WEIGHTS DATA CACHE

DATA holds flickr8k/, coco/ and text/ as shared/data/README.md lays them out
(coco/ only to leave its captions out of the texts). Writes float16 arrays.
"""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import datasets
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from towers import SIZE

VARIANTS = 4
CONTEXT = 128
BATCH = 32
THREADS = 2


def session(path: Path) -> ort.InferenceSession:
    """Open a tower on two threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def squash(image: Image.Image) -> Image.Image:
    """Resize to a square, whatever the aspect."""
    return image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def vary(name: str, variant: int) -> Callable[[Image.Image], Image.Image]:
    """Give a fixed change: none, a mirror, or a random crop (60 to 100 % of the area)."""
    if variant == 0:
        return squash
    if variant == 1:
        return lambda image: squash(image).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    digest = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    rng = np.random.default_rng([variant, digest])

    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        scale, ratio = np.sqrt(rng.uniform(0.6, 1)), np.sqrt(np.exp(rng.uniform(-0.25, 0.25)))
        w, h = min(width, width * scale * ratio), min(height, height * scale / ratio)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = (x, y, x + w, y + h)
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
        mirrored = rng.random() < 0.5
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image

    return crop


def image_features(
    tower: ort.InferenceSession, photos: Sequence[datasets.Photo], variant: int
) -> NDArray[np.float16]:
    """Give the tower's features, `(n, 5496)`, of one variant of each photograph."""
    found: list[NDArray[np.float16]] = []
    for start in range(0, len(photos), BATCH):
        pixels: list[NDArray[np.uint8]] = []
        for photo in photos[start : start + BATCH]:
            with Image.open(photo.path) as image:
                change = vary(f"images/{photo.path.name}", variant)
                pixels.append(np.asarray(change(image.convert("RGB"))))
        (rows,) = tower.run(None, {"pixels": np.stack(pixels)})
        found.append(np.asarray(rows, np.float16))
    return np.concatenate(found)


def text_features(
    tower: ort.InferenceSession, tokenizer: Tokenizer, texts: Sequence[str]
) -> NDArray[np.float16]:
    """Give the tower's features, `(n, 384)`; texts of like length share a batch."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    found = np.empty((len(texts), 384), np.float16)
    for start in range(0, len(texts), 64):
        chosen = order[start : start + 64]
        tokens = tokenizer.encode_batch([texts[index] for index in chosen])
        feeds = {
            "input_ids": np.array([token.ids for token in tokens]),
            "attention_mask": np.array([token.attention_mask for token in tokens]),
        }
        found[chosen] = tower.run(None, feeds)[0]
    return found


def cached(path: Path, make: Callable[[], NDArray[np.float16]]) -> None:
    """Make and keep an array unless it is there."""
    if not path.is_file():
        np.save(path, make())
        print("made", path.name, flush=True)


def main() -> None:
    """Fill the cache."""
    parser = argparse.ArgumentParser(description="Cache what the towers give.")
    for name in ("towers", "weights", "data", "cache"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    images = session(given.towers / "efficientnet-lite2.onnx")
    words = session(given.towers / "minilm-l6-v2-int8.onnx")
    tokenizer = Tokenizer.from_file(str(given.weights / "tokenizer.json"))
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding()

    for split in ("train", "dev"):
        photos = datasets.flickr8k(given.data / "flickr8k", train=split == "train")
        captions = [caption for photo in photos for caption in photo.captions]
        cached(
            given.cache / f"text-{split}.npy",
            lambda texts=captions: text_features(words, tokenizer, texts),
        )
        for variant in range(VARIANTS if split == "train" else 1):
            cached(
                given.cache / f"image-{split}-{variant}.npy",
                lambda photos=photos, variant=variant: image_features(images, photos, variant),
            )
    texts = datasets.coco_texts(
        given.data / "text" / "coco-val2017-captions.jsonl.gz", given.data / "coco"
    )
    cached(given.cache / "text-coco.npy", lambda: text_features(words, tokenizer, texts))
    for index, names in enumerate(datasets.class_texts(given.weights)):
        cached(
            given.cache / f"text-classes-{index}.npy",
            lambda names=names: text_features(words, tokenizer, names),
        )


if __name__ == "__main__":
    main()
