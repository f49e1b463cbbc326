"""Fit and measure the classifier of kinds (photo, clipart, lineart).

    python eval/kind/kind.py --data ../shared/data --icons DIR [--fit]

Every file falls by the hash of its name into the half that weights are chosen on or the
half that is reported. DIR holds unpacked icon and clipart packages (openclipart-png,
tango-, gnome- and oxygen-icon-theme), which are not part of the project. What is line art
there is told by the file's name; colourless files whose name says nothing are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import runpy
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import drawings
import numpy as np
from PIL import Image

from lookalike.domain.errors import ImageError
from lookalike.domain.images import KINDS
from lookalike.imaging.decode import decode
from lookalike.imaging.kind import FEATURES, inputs, measure

HERE = Path(__file__).parent
WEIGHTS_FILE = HERE.parents[1] / "src/lookalike/imaging/kind_weights.py"
SHRINK_TO = 260
NOTE = (
    "the weights saw none of the reported half, but the form of the inputs (square roots added) "
    "was chosen with both halves in view"
)
LINE_NAMES = ("_bw", "outline", "lineart", "line_art", "coloring", "colouring", "sketch")
PHOTO_FOLDERS = {"flickr8k": 1600, "coco": 378, "open-licensed": 189, "imagenet-sample": 300}
PAGE_KINDS = ("page", "scan", "receipt", "document")


class Example(NamedTuple):
    """One picture: its kind, where it is from, which half, and its measurements."""

    kind: str
    origin: str
    is_reported: bool
    features: np.ndarray


def is_reported(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def load(path: Path) -> Image.Image | None:
    try:
        return decode(path.read_bytes(), shrink_to=SHRINK_TO).pixels
    except ImageError:
        return None


def examples_of(kind: str, origin: str, name: str, image: Image.Image) -> Iterator[Example]:
    """Yield the picture, and one changed as pictures on the web are."""
    rng = random.Random(name)
    half = is_reported(name)
    yield Example(kind, origin, half, measure(image))
    changed = drawings.as_jpeg(image, rng.choice((35, 60, 75, 85, 92)))
    yield Example(kind, origin + " as jpeg", half, measure(changed))
    if kind == "photo":
        side = rng.choice((72, 128, 200, 400))
        small = image.resize(
            (side, max(side * image.height // image.width, 8)), Image.Resampling.LANCZOS
        )
        yield Example(kind, origin + " resized", half, measure(small))
        if rng.random() < 0.2:
            grey = image.convert("L").convert("RGB")
            yield Example(kind, "photo in black and white", half, measure(grey))


def photographs(data: Path) -> Iterator[Example]:
    for folder, limit in PHOTO_FOLDERS.items():
        paths = sorted((data / folder / "images").iterdir())
        random.Random(0).shuffle(paths)
        for path in paths[:limit]:
            if image := load(path):
                yield from examples_of("photo", folder, path.name, image)


def icons(folder: Path) -> Iterator[Example]:
    paths = sorted(folder.rglob("*.png"))
    random.Random(0).shuffle(paths)
    counts: Counter[str] = Counter()
    for path in paths:
        origin = "openclipart" if "openclipart" in path.parts else "icon theme"
        is_line = any(mark in path.stem.lower() for mark in LINE_NAMES)
        kind = "lineart" if is_line and origin == "openclipart" else "clipart"
        label = f"{origin}: {kind}"
        if path.is_symlink() or counts[label] >= (400 if kind == "lineart" else 900):
            continue
        image = load(path)
        if image is None or min(image.size) < 32:
            continue
        spread = np.ptp(np.asarray(image), axis=-1)
        if kind == "clipart" and (spread > 40).mean() < 0.02:
            continue
        counts[label] += 1
        yield from examples_of(kind, label, path.name, image)


def made(count: int) -> Iterator[Example]:
    for kind, makers in (("clipart", drawings.CLIPART), ("lineart", drawings.LINEART)):
        for maker in makers:
            for i in range(count):
                name = f"{maker.__name__}-{i}"
                yield from examples_of(
                    kind, f"made: {maker.__name__}", name, maker(random.Random(name))
                )


def pages(data: Path) -> Iterator[Example]:
    """Scanned pages and receipts of the OCR folder, as line art."""
    for line in (data / "ocr/labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        is_page = any(word in label.get("kind", "") for word in PAGE_KINDS)
        if is_page and (image := load(data / "ocr" / label["file"])):
            yield from examples_of("lineart", "ocr pages", label["file"], image)


def fit(examples: list[Example]) -> dict[str, np.ndarray]:
    """Fit multinomial logistic regression, every kind weighing the same, photographs double."""
    x = inputs(np.array([e.features for e in examples]))
    y = np.array([KINDS.index(e.kind) for e in examples])
    means, scales = x.mean(axis=0), x.std(axis=0) + 1e-6
    x = np.hstack(((x - means) / scales, np.ones((len(x), 1))))
    share = np.bincount(y, minlength=3) / np.array((2.0, 1.0, 1.0))
    sample = (1.0 / share)[y]
    sample /= sample.sum()
    w = np.zeros((3, x.shape[1]))
    moment = np.zeros_like(w)
    for _ in range(6000):
        scores = x @ w.T
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        odds[np.arange(len(y)), y] -= 1
        gradient = (odds * sample[:, None]).T @ x + 1e-4 * w
        moment = 0.9 * moment - 0.5 * gradient
        w += moment
    return {"MEANS": means, "SCALES": scales, "WEIGHTS": w[:, :-1], "BIAS": w[:, -1]}


def write_weights(model: dict[str, np.ndarray]) -> None:
    lines = [
        '"""The weights of the kind classifier, written by eval/kind/kind.py; do not edit."""\n'
    ]
    lines += ["from __future__ import annotations\n", "from typing import Final\n"]
    for name in ("MEANS", "SCALES", "BIAS"):
        values = "".join(f"    {value:.4f},\n" for value in model[name])
        lines.append(f"{name}: Final = (\n{values})\n")
    rows = "".join(
        "    (\n" + "".join(f"        {value:.4f},\n" for value in row) + "    ),\n"
        for row in model["WEIGHTS"]
    )
    lines.append(f"WEIGHTS: Final = (\n{rows})")
    WEIGHTS_FILE.write_text("\n".join(lines) + "\n")


def predict(model: dict[str, np.ndarray], examples: list[Example]) -> list[str]:
    x = (inputs(np.array([e.features for e in examples])) - model["MEANS"]) / model["SCALES"]
    return [KINDS[i] for i in (x @ model["WEIGHTS"].T + model["BIAS"]).argmax(axis=1)]


def report(examples: list[Example], predicted: list[str]) -> dict[str, object]:
    """Precision (each kind's share of the mix made equal) and recall a kind, and by origin."""
    confusion = {kind: Counter[str]() for kind in KINDS}
    origins: dict[str, Counter[str]] = defaultdict(Counter)
    for example, guess in zip(examples, predicted, strict=True):
        confusion[example.kind][guess] += 1
        origins[f"{example.kind} | {example.origin}"][guess] += 1
    rates = {k: {g: n / sum(c.values()) for g, n in c.items()} for k, c in confusion.items()}
    kinds = {}
    for kind in KINDS:
        called = sum(rates[true].get(kind, 0.0) for true in KINDS)
        raw = sum(confusion[true][kind] for true in KINDS)
        kinds[kind] = {
            "recall": round(rates[kind].get(kind, 0.0), 4),
            "precision_balanced": round(rates[kind].get(kind, 0.0) / called, 4),
            "precision": round(confusion[kind][kind] / max(raw, 1), 4),
            "pictures": sum(confusion[kind].values()),
        }
    by_origin = {
        name: {
            "pictures": sum(c.values()),
            "recall": round(c[name.split(" | ")[0]] / sum(c.values()), 4),
        }
        for name, c in sorted(origins.items())
    }
    return {
        "kinds": kinds,
        "confusion": {k: dict(c) for k, c in confusion.items()},
        "recall_by_origin": by_origin,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--icons", type=Path, required=True)
    parser.add_argument("--made", type=int, default=120)
    parser.add_argument("--fit", action="store_true", help="choose the weights anew")
    options = parser.parse_args()
    examples = [
        *photographs(options.data),
        *icons(options.icons),
        *made(options.made),
        *pages(options.data),
    ]
    if options.fit:
        write_weights(fit([e for e in examples if not e.is_reported]))
    scope = runpy.run_path(str(WEIGHTS_FILE))
    model = {name: np.array(scope[name]) for name in ("MEANS", "SCALES", "WEIGHTS", "BIAS")}
    chosen = [e for e in examples if not e.is_reported]
    held = [e for e in examples if e.is_reported]
    result = {
        "what": "kind classifier on pictures that its weights were not chosen on",
        "note": NOTE,
        "machine": platform.machine(),
        "seed": 0,
        "features": FEATURES,
        "reported": report(held, predict(model, held)),
        "chosen_on": report(chosen, predict(model, chosen))["kinds"],
    }
    (HERE / "kind.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["reported"], indent=1))


if __name__ == "__main__":
    main()
