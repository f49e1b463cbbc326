"""Fit and measure the classifier of kinds (photo, clipart, lineart).

    python eval/kind/kind.py --data ../shared/data --icons DIR --held DIR [--fit]

Weights are chosen on one half (by the hash of the name) of the *sources fitted on*: Flickr8k and
COCO, pictures made by `drawings.py`, and the icon and clipart packages unpacked in `--icons`
(openclipart-png, tango-, gnome- and oxygen-icon-theme, which are not part of the project; what is
line art there is told by the file's name; colourless files whose name says nothing are left out).
Their other half is reported, and above all the *other sources*, of which the weights saw nothing:
what `gather.py` lays out in `--held`, landmarks, nature, paintings and space pictures
(open-licensed), an ImageNet sample, scanned pages and receipts, drawings of a museum, and
photographs redrawn as pencil sketches and engravings.

A painting counts as a photograph: its tones are continuous, and who asks for clipart or for line
art does not want it. A drawing, an etching or an ink painting counts as line art. Colour woodcuts
are between all three and left out.
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
from PIL import Image, ImageEnhance

from lookalike.domain.errors import ImageError
from lookalike.domain.images import KINDS
from lookalike.imaging.decode import decode
from lookalike.imaging.kind import FEATURES, inputs, measure

HERE = Path(__file__).parent
WEIGHTS_FILE = HERE.parents[1] / "src/lookalike/imaging/kind_weights.py"
SHRINK_TO = 260
NOTE = (
    "the weights saw none of the other sources, but three measurements and the weighting of "
    "sources were chosen with figures on them in view, so these are not blind"
)
LINE_NAMES = ("_bw", "outline", "lineart", "line_art", "coloring", "colouring", "sketch")
FITTED_PHOTOS = {"flickr8k": 1600, "coco": 378}
OTHER_PHOTOS = {"open-licensed": 189, "imagenet-sample": 300}
MUSEUM_DRAWINGS = (
    "pdw_met_met-15370", "pdw_met_met-15374", "pdw_met_met-15379", "pdw_met_met-372898",
    "pdw_met_met-45650", "pdw_met_met-824771", "pdw_met_met-825613",
    "akc_Gasshukoku_suishi_teitoku_k_j_gaki",
)  # fmt: skip
"""Drawings, etchings and an ink painting among the open-licensed pictures."""

COLOUR_WOODCUTS = (
    "akc_Fine_Wind__Clear_Weather__Gaif__kaisei_", "akc_The_Great_Wave_off_Kanagawa",
    "pdw_met_met-53427", "pdw_met_met-53449",
)  # fmt: skip
SKETCHED = 300
PHOTO_WEIGHT = 1.5
GREY_SHARE = 0.5
PAGE_KINDS = ("page", "scan", "receipt", "document")


class Example(NamedTuple):
    """One picture: its kind, where it is from, and its measurements.

    `is_reported` tells that no weight saw it, `is_other` that none saw its source either.
    """

    kind: str
    origin: str
    is_reported: bool
    is_other: bool
    features: np.ndarray


def is_reported(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def load(path: Path) -> Image.Image | None:
    try:
        return decode(path.read_bytes(), shrink_to=SHRINK_TO).pixels
    except ImageError:
        return None


def examples_of(
    kind: str, origin: str, name: str, image: Image.Image, *, is_other: bool = False
) -> Iterator[Example]:
    """Yield the picture, and one changed as pictures on the web are."""
    rng = random.Random(name)
    half = is_other or is_reported(name)

    def example(origin: str, image: Image.Image) -> Example:
        return Example(kind, origin, half, is_other, measure(image))

    yield example(origin, image)
    changed = drawings.as_jpeg(image, rng.choice((35, 60, 75, 85, 92)))
    yield example(origin + " as jpeg", changed)
    if "engraving" in origin:
        return  # made smaller, its lines melt into the grey of a photograph
    side = rng.choice((72, 128, 200, 400))
    small = image.resize(
        (side, max(side * image.height // image.width, 8)), Image.Resampling.LANCZOS
    )
    yield example(origin + " resized", small)
    if kind == "photo" and rng.random() < GREY_SHARE:
        grey = ImageEnhance.Contrast(image.convert("L")).enhance(rng.uniform(0.3, 1.1))
        yield example("in black and white", grey.convert("RGB"))


def photographs(data: Path, folders: dict[str, int], *, is_other: bool) -> Iterator[Example]:
    for folder, limit in folders.items():
        paths = sorted((data / folder / "images").iterdir())
        random.Random(0).shuffle(paths)
        for path in paths[:limit]:
            image = None if path.stem in COLOUR_WOODCUTS else load(path)
            if image is None:
                continue
            is_drawn = path.stem in MUSEUM_DRAWINGS
            kind, origin = ("lineart", "museum drawings") if is_drawn else ("photo", folder)
            yield from examples_of(kind, origin, path.name, image, is_other=is_other)


def sketched(data: Path, split: str, style: str, *, is_other: bool) -> Iterator[Example]:
    """Photographs redrawn as line art."""
    lines = (data / "flickr8k/labels.jsonl").read_text().splitlines()
    files = [row["file"] for row in map(json.loads, lines) if row["split"] == split]
    for file in files[:SKETCHED]:
        if image := load(data / "flickr8k" / file):
            drawn = drawings.REDRAWN[style](image)
            name = f"{style}-{Path(file).name}"
            yield from examples_of("lineart", f"redrawn: {style}", name, drawn, is_other=is_other)


def laid_out(folder: Path) -> Iterator[Example]:
    """Pictures laid out as KIND/SOURCE/ by `gather.py`."""
    for path in sorted(folder.glob("*/*/*")):
        kind, source = path.parts[-3:-1]
        image = load(path)
        if image is not None and not (kind == "clipart" and is_colourless(image)):
            yield from examples_of(kind, source, path.name, image, is_other=True)


def is_colourless(image: Image.Image) -> bool:
    return float((np.ptp(np.asarray(image), axis=-1) > 40).mean()) < 0.02


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
        if kind == "clipart" and is_colourless(image):
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
            yield from examples_of("lineart", "ocr pages", label["file"], image, is_other=True)


def fit(examples: list[Example]) -> dict[str, np.ndarray]:
    """Fit multinomial logistic regression.

    Photographs weigh a half more than each other kind, being what most pictures are, and within a
    kind every origin by the square root of its number, so that a large source is not all.
    """
    x = inputs(np.array([e.features for e in examples]))
    y = np.array([KINDS.index(e.kind) for e in examples])
    means, scales = x.mean(axis=0), x.std(axis=0) + 1e-6
    x = np.hstack(((x - means) / scales, np.ones((len(x), 1))))
    origins = Counter((e.kind, e.origin) for e in examples)
    sample = np.array([origins[e.kind, e.origin] ** -0.5 for e in examples])
    sample /= np.bincount(y, weights=sample, minlength=3)[y]
    sample *= np.array((PHOTO_WEIGHT, 1.0, 1.0))[y]
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
    parser.add_argument("--held", type=Path, required=True)
    parser.add_argument("--made", type=int, default=120)
    parser.add_argument("--fit", action="store_true", help="choose the weights anew")
    options = parser.parse_args()
    examples = [
        *photographs(options.data, FITTED_PHOTOS, is_other=False),
        *icons(options.icons),
        *made(options.made),
        *sketched(options.data, "train", "pencil", is_other=False),
        *photographs(options.data, OTHER_PHOTOS, is_other=True),
        *sketched(options.data, "dev", "engraving", is_other=True),
        *sketched(options.data, "dev", "edges", is_other=True),
        *laid_out(options.held),
        *pages(options.data),
    ]
    if not any("openclipart" in e.origin for e in examples):
        parser.error(f"no clipart under {options.icons} (links are not followed)")
    if options.fit:
        write_weights(fit([e for e in examples if not e.is_reported]))
    scope = runpy.run_path(str(WEIGHTS_FILE))
    model = {name: np.array(scope[name]) for name in ("MEANS", "SCALES", "WEIGHTS", "BIAS")}
    chosen = [e for e in examples if not e.is_reported]
    held = [e for e in examples if e.is_reported and not e.is_other]
    other = [e for e in examples if e.is_other]
    result = {
        "what": "kind classifier on pictures that its weights were not chosen on",
        "note": NOTE,
        "machine": platform.machine(),
        "seed": 0,
        "features": FEATURES,
        "other_sources": report(other, predict(model, other)),
        "reported": report(held, predict(model, held)),
        "chosen_on": report(chosen, predict(model, chosen))["kinds"],
    }
    (HERE / "kind.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["other_sources"], indent=1))


if __name__ == "__main__":
    main()
