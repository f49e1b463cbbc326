"""Milliseconds of CPU that a picture takes from its bytes to everything read off it, by stage.

    python bench/decode.py [--out bench/results/decode.json] [--repeats 200]

Pictures are made by code from a seed. `imagehash` and Pillow alone stand beside in the same
run, where they do the same work.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from lookalike.domain.bundle import Preprocess
from lookalike.imaging.colour import read_colours
from lookalike.imaging.decode import decode
from lookalike.imaging.examine import ExaminePlan, examine
from lookalike.imaging.kind import classify
from lookalike.imaging.phash import hamming, phash
from lookalike.imaging.preprocess import to_model_pixels
from lookalike.imaging.thumbnails import THUMBNAIL_SIDE, shrink, thumbnail

RESULTS = Path(__file__).resolve().parent / "results"

SIZES = ((224, 224), (500, 375), (640, 480), (1600, 1067), (4000, 3000))
SEED = 7
MODEL_SIDE = 260


def photograph(size: tuple[int, int]) -> Image.Image:
    """Slopes of many scales and a little noise, so that a JPEG of it weighs what photographs do."""
    rng = np.random.default_rng(SEED)
    total = np.zeros((size[1], size[0], 3), dtype=np.float32)
    for cells in (3, 7, 17, 41, 97):
        coarse = Image.fromarray(np.uint8(np.clip(rng.normal(128, 70, (cells, cells, 3)), 0, 255)))
        total += np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / 5
    total += rng.normal(0, 3, total.shape)
    return Image.fromarray(np.uint8(np.clip(total, 0, 255)))


def encode(image: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    options = {"PNG": {"compress_level": 4}, "AVIF": {"quality": 70, "speed": 8}}
    image.save(buffer, format, **options.get(format, {"quality": 88}))
    return buffer.getvalue()


def cpu_ms(work: Callable[[], object], repeats: int) -> float:
    """Return the least mean of five rounds: what the work takes when nothing else interferes."""
    work()
    best = float("inf")
    rounds = max(repeats // 5, 1)
    for _ in range(5):
        started = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, (time.process_time() - started) / rounds * 1e3)
    return round(best, 4)


def stages(data: bytes, repeats: int) -> dict[str, float]:
    preprocess = Preprocess(MODEL_SIDE)
    plan = ExaminePlan(preprocess)
    picture = decode(data, shrink_to=plan.decode_side)
    shrunk = shrink(picture.pixels, THUMBNAIL_SIDE)
    small = shrunk.reduce(max(min(shrunk.size) // 64, 1))
    sample = np.asarray(small.resize((48, 48), Image.Resampling.NEAREST))
    work: dict[str, Callable[[], object]] = {
        "sha256": lambda: hashlib.sha256(data).hexdigest(),
        "decode": lambda: decode(data, shrink_to=plan.decode_side),
        "model pixels": lambda: to_model_pixels(picture, preprocess),
        "shrink": lambda: shrink(picture.pixels, THUMBNAIL_SIDE),
        "thumbnail": lambda: thumbnail(picture, shrunk=shrunk),
        "colour": lambda: read_colours(sample),
        "kind": lambda: classify(picture.pixels),
        "phash": lambda: phash(small),
        "examine (all)": lambda: examine(data, plan=plan),
        "peer: pillow open+load": lambda: Image.open(io.BytesIO(data)).convert("RGB"),
        "peer: imagehash.phash": lambda: imagehash.phash(picture.pixels),
    }
    return {name: cpu_ms(call, repeats) for name, call in work.items()}


def distances(repeats: int) -> dict[str, float]:
    """Compare Hamming distances over 100,000 hashes with the peer's, one by one (per 1,000)."""
    rng = np.random.default_rng(SEED)
    hashes = rng.integers(0, 2**63, 100_000).astype(np.uint64)
    peers = [imagehash.hex_to_hash(f"{int(h):016x}") for h in hashes[:1000]]
    return {
        "ours per 100,000": cpu_ms(lambda: hamming(hashes, 12345), repeats),
        "imagehash per 1,000": cpu_ms(lambda: [p - peers[0] for p in peers], 5),
    }


def commit() -> str:
    run = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "decode.json")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    files = {
        f"jpeg {w}x{h}": encode(photograph((w, h)), "JPEG") for w, h in SIZES
    } | {
        f"{format.lower()} 640x480": encode(photograph((640, 480)), format)
        for format in ("PNG", "WEBP", "AVIF", "GIF")
    }  # fmt: skip
    table: dict[str, dict[str, float]] = {}
    for name, data in files.items():
        repeats = max(options.repeats // (1 + len(data) // 100_000), 10)
        table[name] = {"bytes": len(data), **stages(data, repeats)}
        print(f"{name:18s}", "  ".join(f"{k} {v:g}" for k, v in table[name].items()))
    result = {
        "what": "CPU milliseconds a picture, least of five means, one thread",
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": [round(load, 2) for load in os.getloadavg()],
        "commit": commit(),
        "seed": SEED,
        "model_side": MODEL_SIDE,
        "ms": table,
        "hamming_ms": distances(options.repeats),
    }
    print(result["hamming_ms"])
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
