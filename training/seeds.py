"""Train the heads with several seeds and write how much the figures move.

    python seeds.py CACHE OUT.json 0 1 2

Works on the cached features of Flickr8k's dev photographs (1,000, five captions
each) in the float precision of training, so its figures may differ from
measure.py's by the int8 weights of the shipped heads.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import conse
import numpy as np
from assemble import shares
from conse import Matrix
from datasets import CAPTIONS
from heads import Recipe, apply, trained
from towers import CLASSES, FEATURES

DEPTHS = (1, 5, 10)


def vectors(cache: Path, heads: dict[str, Matrix]) -> tuple[Matrix, Matrix]:
    """Give the dev split's image and text vectors, both unit norm."""
    space, both = conse.from_cache(cache), shares()
    images = np.load(cache / "image-dev-0.npy").astype(np.float32)
    texts = np.load(cache / "text-dev.npy").astype(np.float32)
    known = space.images(images[:, FEATURES : FEATURES + CLASSES]), space.texts(texts)
    found = apply(heads, "image", images), apply(heads, "text", texts)
    image, text = (
        np.concatenate([both.heads * head, both.conse * part], 1)
        for head, part in zip(found, known, strict=True)
    )
    return image, text


def recalls(image: Matrix, text: Matrix) -> dict[str, float]:
    """Give recall@1/5/10 both ways."""
    scores = text @ image.T
    photo = np.arange(len(text)) // CAPTIONS
    right = scores[np.arange(len(text)), photo]
    rank = (scores > right[:, None]).sum(1)
    back = np.array([(scores[:, p] > right[c]).sum() for c, p in enumerate(photo)])
    best = back.reshape(-1, CAPTIONS).min(1)
    figures = {f"text_to_image.recall@{depth}": (rank < depth).mean() for depth in DEPTHS}
    figures |= {f"image_to_text.recall@{depth}": (best < depth).mean() for depth in DEPTHS}
    return {name: round(float(value), 4) for name, value in figures.items()}


def main() -> None:
    """Train once a seed and write the figures."""
    parser = argparse.ArgumentParser(description="How much does the seed matter?")
    parser.add_argument("cache", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--heads", default="", help="where to keep heads: PATH-SEED.npz")
    given = parser.parse_args()
    recipe, found = Recipe(), {}
    for seed in given.seeds:
        place = Path(f"{given.heads}-{seed}.npz")
        heads = (
            dict(np.load(place))
            if given.heads and place.is_file()
            else trained(given.cache, seed, recipe)
        )
        found[str(seed)] = recalls(*vectors(given.cache, heads))
    names = next(iter(found.values()))
    spread = {
        name: {
            "min": min(row[name] for row in found.values()),
            "max": max(row[name] for row in found.values()),
        }
        for name in names
    }
    report = {
        "measured_on": "flickr8k dev, 1,000 photographs, 5,000 captions",
        "recipe": asdict(recipe),
        "seeds": found,
        "spread": spread,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
