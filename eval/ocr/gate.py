"""Train and measure the gate that decides whether text is looked for.

    python eval/ocr/gate.py --data ../shared/data --cache DIR [--teach 400] [--fit 4]

DIR keeps the words that RapidOCR reads off each photograph; `--teach` says for how many seconds
to go on with that, `--fit` how many rounds to train. Every photograph falls by the hash of its name
into the half that is learned from, or the half that is reported; of flickr8k and imagenet-sample
none is learned from, only the threshold is chosen on their first half. The words that count are
those of two letters or digits and more that RapidOCR is sure of (a score of 0.8).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import gate_training as training
import numpy as np
from gate_training import Scene
from PIL import Image, ImageDraw, ImageFont

from lookalike.adapters.ocr_rapid import RapidOcr
from lookalike.imaging import text_gate
from lookalike.imaging.text_gate import Weights
from lookalike.wiring.evaluation import commit_of

HERE = Path(__file__).parent
WEIGHTS_FILE = Path(text_gate.__file__).with_name("text_gate.npz")
FOLDERS = {"ocr": 40, "coco": 378, "open-licensed": 189, "flickr8k": 160, "imagenet-sample": 100}
LEARNED_FROM = ("ocr", "coco", "open-licensed")
SURE = 0.8
HEIGHTS = (8, 12, 16, 24, 40, 80)


def is_reported(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def pictures(data: Path) -> Iterator[tuple[str, Path]]:
    """Yield folder and file of all photographs, the folders mixed evenly."""
    found = []
    for folder, limit in FOLDERS.items():
        paths = sorted(
            (data / folder / "images").iterdir(),
            key=lambda path: hashlib.sha256(path.name.encode()).digest(),
        )
        found += [(i / limit, folder, path) for i, path in enumerate(paths[:limit])]
    return ((folder, path) for _, folder, path in sorted(found))


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def teach(data: Path, cache: Path, seconds: float) -> None:
    """Keep what RapidOCR reads off each photograph."""
    cache.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + seconds
    reader = RapidOcr(threads=1)
    reader.read(np.full((64, 64, 3), 255, np.uint8))
    for folder, path in pictures(data):
        kept = cache / f"{folder}__{path.name}.npz"
        if folder == "ocr" or kept.exists():
            continue
        if time.monotonic() > until:
            return
        pixels = pixels_of(path)
        words = [(word.text, word.score, word.box) for word in reader.read(pixels)]
        np.savez_compressed(kept, words=json.dumps(words))


def transcripts(data: Path) -> dict[str, list[tuple]]:
    """Words of the folder `ocr` by file, each with a score of 1 and a box, `None` where unknown.

    A word of a line gets the line's box, which is as high as the word.
    """
    result = {}
    for line in (data / "ocr/labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        width, height = label["orig_size"]
        boxes = [(None, text) for text in label["texts"]]
        if label["kind"] == "word crop":
            boxes = [((0, 0, 1, 1), text) for text in label["texts"]]
        elif "text_boxes" in label:
            boxes = []
            for row in label["text_boxes"]:
                xs = [x / width for x in row["quad"][::2]]
                ys = [y / height for y in row["quad"][1::2]]
                box = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
                boxes.append((box, row["text"]))
        words = [(word, 1.0, box) for box, text in boxes for word in text.split()]
        result[Path(label["file"]).name] = words
    return result


def taught(cache: Path, folder: str, path: Path) -> list[tuple] | None:
    """Text, score and box of the words of a photograph, as far as they are known."""
    if folder == "ocr":
        return transcripts(path.parents[2]).get(path.name)
    kept = cache / f"{folder}__{path.name}.npz"
    if not kept.exists():
        return None
    with np.load(kept) as file:
        return json.loads(str(file["words"]))


def sure_words(said: list[tuple]) -> int:
    return sum(score >= SURE and is_word(text) for text, score, *_ in said)


def is_word(text: str) -> bool:
    return sum(map(str.isalnum, text)) >= 2


def scenes(data: Path, cache: Path) -> tuple[list[Scene], list[Scene]]:
    """The half that is learned from: with words that were read for sure, and without any."""
    full, bare = [], []
    for folder, path in pictures(data):
        said = taught(cache, folder, path)
        if said is None or folder not in LEARNED_FROM or is_reported(path.name):
            continue
        if any(word[2] is None for word in said) or (folder == "ocr" and not said):
            continue
        image = Image.fromarray(pixels_of(path))
        image.thumbnail((640, 640), Image.Resampling.BOX)
        width, height = image.size
        texts = tuple(
            (x * width, y * height, (x + w) * width, (y + h) * height, min(w * width, h * height))
            for text, score, (x, y, w, h), *_ in said
            if score >= SURE and is_word(text)
        )
        (full if texts else bare).append(Scene(np.asarray(image), texts))
    return full, bare


def fit(data: Path, cache: Path, fonts: list[str], rounds: int) -> None:
    """Train, each round with new pictures of text and the grounds that were taken for it."""
    full, bare = scenes(data, cache)
    print(f"{len(full)} photographs with text, {len(bare)} without")
    rng, numbers = random.Random(0), np.random.default_rng(0)
    weights = training.begin(numbers)
    xs, ys = [], []
    for turn in range(rounds):
        now = Weights(**weights) if turn else None
        made = [training.turned(scene, rng) if turn else scene for scene in bare]
        made += [training.plain(rng) for _ in range(150)]
        made += [training.changed(scene, rng) for scene in full]
        made += [training.with_text(scene, fonts, rng) for scene in rng.choices(bare, k=120)]
        made += [training.page(fonts, rng) for _ in range(40)]
        for scene in made:
            x, y = training.samples_of(scene, now, numbers)
            xs.append(x)
            ys.append(y)
        x, y = np.concatenate(xs), np.concatenate(ys)
        losses = training.train(weights, x, y, 6 if turn + 1 < rounds else 2 * rounds + 6, numbers)
        print(f"round {turn}: {y.sum()} of {len(y)} samples are text, losses {losses}", flush=True)
    np.savez(WEIGHTS_FILE, **{k: v.astype(np.float16) for k, v in weights.items()})


def measure(data: Path, cache: Path, *, reported: bool) -> list[dict]:
    """Score and words of each photograph of one half."""
    rows = []
    for folder, path in pictures(data):
        said = taught(cache, folder, path)
        if said is not None and is_reported(path.name) == reported:
            score = text_gate.may_hold_text(pixels_of(path))
            words = sure_words(said)
            rows.append({"folder": folder, "file": path.name, "score": score, "words": words})
    return rows


def report(rows: list[dict], threshold: float) -> dict[str, dict]:
    """What the gate lets through and what is lost by it, a folder."""
    by_folder = defaultdict(list)
    for row in rows:
        by_folder[row["folder"]].append(row)
    result = {}
    for folder, members in by_folder.items():
        bare = [r for r in members if not r["words"]]
        full = [r for r in members if r["words"]]
        words = sum(r["words"] for r in full)
        result[folder] = {
            "pictures": len(members),
            "skipped": round(np.mean([r["score"] < threshold for r in members]), 3),
            "without_words": len(bare),
            "skipped_of_those": round(np.mean([r["score"] < threshold for r in bare] or [0]), 3),
            "with_words": len(full),
            "kept_of_those": round(np.mean([r["score"] >= threshold for r in full] or [0]), 3),
            "words": words,
            "words_kept": round(
                sum(r["words"] for r in full if r["score"] >= threshold) / max(words, 1), 3
            ),
        }
    return result


def by_height(data: Path, fonts: list[str], threshold: float) -> dict[str, float]:
    """Share kept of reported photographs that bear one drawn word, by the letters' size."""
    paths = [p for folder, p in pictures(data) if folder == "coco" and is_reported(p.name)][:100]
    result = {}
    for height in HEIGHTS:
        rng = random.Random(height)
        kept = 0
        for path in paths:
            image = Image.open(path).convert("RGB")
            image.thumbnail((640, 640))
            font = ImageFont.truetype(rng.choice(fonts), height)
            at = (rng.randint(0, image.width // 2), rng.randint(0, image.height - height))
            ink, edge = rng.choice((("white", "black"), ("black", "white"), ("yellow", "black")))
            text = training.phrase(rng)[:12]
            ImageDraw.Draw(image).text(
                at, text, font=font, fill=ink, stroke_width=1, stroke_fill=edge
            )
            kept += text_gate.may_hold_text(np.asarray(image)) >= threshold
        result[f"{height} px"] = round(kept / len(paths), 3)
    return result


def cpu_ms() -> dict[str, float]:
    result = {}
    for width, height in ((224, 224), (640, 480), (1600, 1200)):
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        text_gate.may_hold_text(picture)
        start = time.process_time()
        for _ in range(40):
            text_gate.may_hold_text(picture)
        result[f"{width}x{height}"] = round(25 * (time.process_time() - start), 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/truetype/dejavu"))
    parser.add_argument("--teach", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--fit", type=int, default=0, metavar="ROUNDS")
    options = parser.parse_args()
    fonts = sorted(map(str, options.fonts.glob("*.ttf")))
    if options.teach:
        teach(options.data, options.cache, options.teach)
    if options.fit:
        fit(options.data, options.cache, fonts[::2], options.fit)
        text_gate.packaged_weights.cache_clear()
    chosen = measure(options.data, options.cache, reported=False)
    for threshold in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9):
        print(threshold, json.dumps(report(chosen, threshold)))
    held = measure(options.data, options.cache, reported=True)
    result = {
        "machine": platform.machine(),
        "commit": commit_of(),
        "seed": 0,
        "threshold": text_gate.THRESHOLD,
        "cpu_ms": cpu_ms(),
        "reported_half": report(held, text_gate.THRESHOLD),
        "half_chosen_on": report(chosen, text_gate.THRESHOLD),
        "one_drawn_word_on_a_photograph_of_640_kept": by_height(
            options.data, fonts[1::2], text_gate.THRESHOLD
        ),
    }
    (HERE / "gate.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
